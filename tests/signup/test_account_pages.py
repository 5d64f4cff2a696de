"""No page below /accounts/ is dead or foreign: each is answered in the portal's own frame, in both languages."""
import re
from itertools import product

import pytest
from django.test import Client

from tests.portal.routes import patterns
from tests.world import World

# Words of allauth's own templates, which ours never say.
FOREIGN = re.compile(r"Bad Token|Forgotten your password|Confirm Access|Account Inactive|Re-send Verification|contact us")


def addresses() -> list[str]:
    """All of allauth's, with something in the place of a key."""
    found = []
    for path, _name, _pattern in patterns():
        if path.startswith("accounts/"):
            if "confirm-email/(" in path:
                path = "accounts/confirm-email/MQ:1x:nonsense/"
            elif "reset/key/(" in path:
                path = "accounts/password/reset/key/1-nonsense/"
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
        assert answer.status_code == 200 and 'class="skip"' in text and "mains.css" in text, path
        assert "style=" not in text and "onclick" not in text and "allauth" not in text.lower(), path
        assert not FOREIGN.search(text), path
