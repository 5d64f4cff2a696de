"""Script in what mails tell of: addresses, names, browsers. A mail stays text, its head stays as long as it was meant, and
the outbox shows whatever it carries as text."""
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from allauth.account.adapter import get_adapter
from allauth.core import context
from django.conf import settings as site
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.test import Client, RequestFactory

from portal import outbox
from tests.cast import PASSWORD
from tests.portal.scenery import Scene
from tests.portal_server import serving
from tests.walk.hostile import CANARY, HOSTILE_ADDRESS, INJECTED, Victim, make_hostile_scene
from tests.walk.test_walk import session_of
from tests.walk.walker import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
TEMPLATES = Path(site.BASE_DIR) / "templates/account/email"
KINDS = sorted(path.name.removesuffix("_subject.txt") for path in TEMPLATES.glob("*_subject.txt"))
HEAD = {"Subject", "From", "To", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
TOLD = ("email", "to_email", "from_email", "deleted_email", "user_agent", "ip", "key", "code")


@pytest.fixture
def scene(transactional_db: None, settings, tmp_path: Path) -> Scene:
    settings.DOORBELLS, settings.SIGNUP_OPEN = False, True
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "portal.outbox.Outbox", tmp_path / "mail"
    cache.clear()  # limits of other tests
    return make_hostile_scene()


def sent(folder: Path) -> list[EmailMessage]:
    """What lies in the outbox, read as a mail program reads it."""
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.glob("*.eml"))]


def send_every_kind(scene: Scene) -> None:
    """Each of the portal's mails, whatever it may tell of being the canary."""
    request = RequestFactory().get("/")
    request.user = scene.cast.vera
    links = {"activate_url": "/a/", "password_reset_url": "/p/", "signup_url": "/s/"}
    for kind in KINDS:
        with context.request_context(request):
            get_adapter(request).send_mail(f"account/email/{kind}", HOSTILE_ADDRESS, {
                "user": scene.cast.vera, "timestamp": None, "request": request, **dict.fromkeys(TOLD, CANARY), **links})


def test_every_mail_is_text_below_its_own_head(scene: Scene, settings) -> None:
    send_every_kind(scene)
    mails = sent(settings.EMAIL_FILE_PATH)
    assert len(mails) == len(KINDS) > 10
    for mail in mails:
        assert set(mail.keys()) <= HEAD and len(mail.keys()) == len(set(mail.keys())), mail.items()
        assert mail["To"].addresses[0].addr_spec == HOSTILE_ADDRESS and len(mail["To"].addresses) == 1
        assert CANARY not in mail["Subject"]
    assert sum(CANARY in str(mail.get_body(("plain",)).get_content()) for mail in mails) > 5


@pytest.mark.parametrize("evil", [f"{CANARY}\r\nBcc: all@example.org", f"{CANARY}\nBcc: all@example.org\n\n<b>body</b>"])
def test_what_a_stranger_sends_gets_into_no_head(scene: Scene, settings, evil: str) -> None:
    """A browser's name, an address and a host that would begin a line of their own."""
    stranger = Client(headers={"accept-language": "en", "user-agent": evil, "x-forwarded-for": evil, "x-request-id": evil})
    scene.cast.alice.set_password(PASSWORD)
    scene.cast.alice.save()
    assert stranger.post("/accounts/password/reset/", {"email": evil}).status_code == 200
    assert stranger.post("/accounts/signup/", {"email": evil, "password1": PASSWORD}).status_code == 200
    assert sent(settings.EMAIL_FILE_PATH) == []
    stranger.post("/accounts/password/reset/", {"email": "alice@example.org"})
    stranger.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    new = f"{PASSWORD}!"
    stranger.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    mails = sent(settings.EMAIL_FILE_PATH)
    assert len(mails) >= 2
    for mail in mails:
        assert set(mail.keys()) <= HEAD and "all@example.org" not in str(mail["To"]), mail.items()


def test_no_mail_runs_where_it_is_read(scene: Scene, settings) -> None:
    """Each mail in the outbox, and in a browser as a mail program shows it: what is HTML as HTML."""
    send_every_kind(scene)
    folder = settings.EMAIL_FILE_PATH
    own = sent(folder)
    carried = EmailMultiAlternatives(CANARY, f"{CANARY} https://example.org/{CANARY}", None, [HOSTILE_ADDRESS])
    carried.attach_alternative(f"<b>{CANARY}</b><script>stolen()</script>", "text/html")
    carried.send()
    only_html = EmailMultiAlternatives(f"{CANARY} again", f"<b>{CANARY}</b>", None, [HOSTILE_ADDRESS])
    only_html.content_subtype = "html"
    only_html.send()
    hidden = "=?utf-8?b?PGltZyBzcmM9Y2FuYXJ5IG9uZXJyb3I9c3RvbGVuKCk+Cg==?="  # an image like the canary's, and a line's end
    (folder / "00000000.eml").write_bytes(f"Subject: {hidden}\nTo: {hidden}\n\n{CANARY}".encode())
    kinds = {part.get_content_type() for mail in own for part in mail.walk()}
    ids = [(mail.id, mail.text) for mail in outbox.mails()]
    session = session_of(scene.cast, "root")
    connection.close()
    with serving() as address, chromium() as browser:
        root = Victim(browser, address, session=session)
        for mail_id, text in ids:
            root.goto(f"/operator/outbox/?mail={mail_id}")
            shown = root.page.locator(".mail-text").inner_text()
            assert re.sub(r"\s+", " ", shown).strip() == re.sub(r"\s+", " ", text).strip()
            assert all(link.startswith(("http://", "https://", "mailto:")) for link in root.page.eval_on_selector_all(
                ".mail-text a", "links => links.map((link) => link.href)"))
        root.shows(".mails .name", CANARY)
        root.shows(".mails .sub", HOSTILE_ADDRESS)
        for mail in own:
            for part in mail.walk():
                if part.get_content_type() == "text/html":
                    root.page.set_content(part.get_content(), wait_until="load")
                    root.check()
        assert root.faults == []
        root.page.set_content(carried.alternatives[0][0], wait_until="load")  # this one would be noticed
        root.page.wait_for_timeout(200)
        assert root.ran and root.page.evaluate(INJECTED)
    assert kinds == {"text/plain"}, "a mail with HTML is looked at above; say here that there is one"
