"""No page below /accounts/ is dead or foreign: each is answered in the portal's own frame, in both languages."""
import re
from itertools import product

import pytest
from django.test import Client

from tests.portal.routes import patterns
from tests.world import World

# Words of allauth's own templates, which ours never say.
FOREIGN = re.compile(r"Bad Token|Forgotten your password|Confirm Access|Account Inactive|Re-send Verification|contact us")
# Of a passkey, an app or codes that there are none of, of a provider that nobody set up; where a provider's answer was no good.
ABSENT = {"/accounts/2fa/totp/deactivate/": 404, "/accounts/2fa/recovery-codes/": 404,
          "/accounts/2fa/recovery-codes/download/": 404, "/accounts/oidc/nobody/login/": 404,
          "/accounts/oidc/nobody/login/callback/": 404, "/accounts/3rdparty/login/error/": 401,
          "/accounts/social/login/error/": 401}


def addresses() -> list[str]:
    """All of allauth's, with something in the place of a key."""
    found = []
    for path, _name, _pattern in patterns():
        if path.startswith("accounts/"):
            if "confirm-email/(" in path:
                path = "accounts/confirm-email/MQ:1x:nonsense/"
            elif "reset/key/(" in path:
                path = "accounts/password/reset/key/1-nonsense/"
            path = path.replace("<int:pk>", "1").replace("<slug:slug>", "nobody")
            found.append("/" + path.replace("^", "").replace("$", ""))
    return found


@pytest.mark.django_db
def test_there_are_such_pages() -> None:
    assert len(addresses()) >= 14 and not any("(" in path for path in addresses())


@pytest.mark.parametrize("who", [None, "alice"])
def test_each_page_is_ours(door: World, who: str | None) -> None:
    client = Client()
    if who:
        client.force_login(door.people[who])
    for language, path in product(("en", "zh-hans"), addresses()):
        # Where somebody has nothing to do, they are sent to a page where they have.
        answer = client.get(path, follow=True, headers={"accept-language": language})
        text = answer.content.decode()
        assert answer.status_code == ABSENT.get(path, 200) or (answer.status_code == 200 and who is None), path
        assert 'class="skip"' in text and "mains.css" in text, path
        assert "style=" not in text and "onclick" not in text and "allauth" not in text.lower(), path
        assert not FOREIGN.search(text), path
