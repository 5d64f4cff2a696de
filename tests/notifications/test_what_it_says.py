"""What stands in a mail: the reader's language, no markup of anybody's, no line that is a header, and a way out of it."""
import re
from collections.abc import Callable
from urllib.parse import unquote, urlencode

import pytest
from django.core import mail, signing
from django.test import Client
from django.urls import reverse

from portal.kernel.models import AuditEvent
from portal.notices import dispatch, preferences
from portal.notices.models import Preferences
from tenants import people
from tenants.models import Organization, Project, User
from tests.cast import Cast
from tests.notifications.conftest import ended, parts
from tests.tenants.people.conftest import fresh
from tests.walk.hostile import CANARY

Told = Callable[[User], list[str]]
UNSUBSCRIBE = re.compile(r"/notifications/unsubscribe/\?token=[\w%:.-]+")


@pytest.fixture
def letter(cast: Cast) -> str:
    """A mail about a failure to vera; the path of its link."""
    preferences.choose(cast.vera, mails={"operation.failed": "now", "operation.own": "now"}, actor=cast.vera)
    ended(cast)
    dispatch.run()
    return UNSUBSCRIBE.search(mail.outbox[-1].body)[0]


def test_it_is_in_the_readers_language(cast: Cast) -> None:
    User.objects.filter(pk=cast.vera.pk).update(language="zh-hans")
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    dispatch.run()
    _head, text, html = parts()
    assert 'lang="zh-hans"' in html and "Hello" not in text and "Acme / web" in text


def test_what_tenants_wrote_is_text_in_html_and_no_header(cast: Cast) -> None:
    evil = f"x\r\nBcc: all@example.org\n\n{CANARY}"
    Project.objects.filter(pk=cast.project.pk).update(name=evil[:100])
    Organization.objects.filter(pk=cast.organization.pk).update(name="<b>O</b>\x00\u202e"[:-2] + "\u202eevil")
    User.objects.filter(pk=cast.alice.pk).update(username=f"{CANARY}\r\nX-Evil: 1")
    people.give_role("operator", Project.objects.get(pk=cast.project.pk), to=cast.vera, actor=fresh(cast.alice))
    dispatch.run()
    head, text, html = parts()
    assert not {"Bcc", "X-Evil"} & set(head.keys()) and "\n" not in str(head["Subject"]).replace("\n ", " ")
    assert mail.outbox[-1].recipients() == ["vera@example.org"]
    assert "<img" not in html and "<script" not in html and "<b>O" not in html and "&lt;img" in html
    assert "<img src=canary" in text and "&lt;" not in text, "text is not HTML"
    assert "\u202e" not in text + html and not re.search(r"^Bcc:", text, re.M)


def test_a_reason_and_a_role_are_no_markup(cast: Cast) -> None:
    from tenants import structure

    structure.suspend_organization(cast.organization, reason=CANARY, while_suspended="keep", actor=cast.root)
    dispatch.run()
    assert "<img" not in parts()[2]
    role = people.create_role(cast.rival_organization, CANARY, ["instance.view"], actor=fresh(cast.mallory))
    from tenants.roles import bind
    bind(cast.vera, "viewer", cast.rival_project)
    people.give_role(str(role.pk), cast.rival_project, to=cast.vera, actor=fresh(cast.mallory))
    dispatch.run()
    assert mail.outbox[-1].to == ["vera@example.org"] and "<img" not in parts()[2] and "canary" in parts()[2]


def test_security_mails_have_no_way_out(cast: Cast) -> None:
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    dispatch.run()
    head, text, html = parts()
    assert "List-Unsubscribe" not in head and "unsubscribe" not in text + html


def test_mail_programs_find_the_way_out(cast: Cast, letter: str) -> None:
    head = parts()[0]
    assert head["List-Unsubscribe"].replace("\n", "").replace(" ", "").endswith(f"{letter}>")
    assert head["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" and head["Auto-Submitted"] == "auto-generated"


def test_looking_at_the_link_changes_nothing_and_pressing_does(cast: Cast, letter: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    for _time in range(2):
        assert browser.get(letter).status_code == 200
    assert Preferences.objects.get(user=cast.vera).mails["operation.failed"] == "now"
    assert browser.post(letter, {"List-Unsubscribe": "One-Click"}).status_code == 200
    held = Preferences.objects.get(user=cast.vera).mails
    assert "operation.failed" not in held and held["operation.own"] == "now", "never is as declared; the other kind stays"
    event = AuditEvent.objects.filter(action="user.notifications").latest("at")
    assert (event.actor, event.before["mails"]["operation.failed"]) == (cast.vera, "now")
    assert browser.post(letter).status_code == 200, "again is success"
    ended(cast)
    dispatch.run()
    assert len(mail.outbox) == 1


def test_the_link_opens_nothing_else(cast: Cast, letter: str) -> None:
    browser = Client()
    browser.post(letter)
    assert browser.get(reverse("profile:notifications")).status_code == 302, "nobody is signed in by it"
    token = unquote(letter.partition("token=")[2])
    forged = signing.dumps({"user": str(cast.vera.pk), "kinds": ["security.roles"]}, salt="something.else")
    for wrong in ("", "x", token[:-1], token + "x", forged, token.partition(":")[0]):
        for answer in (browser.get(reverse("notifications:unsubscribe"), {"token": wrong}),
                       browser.post(f"{reverse('notifications:unsubscribe')}?{urlencode({'token': wrong})}")):
            assert answer.status_code == 400


def test_a_token_for_security_does_nothing_even_if_one_were_signed(cast: Cast) -> None:
    token = preferences.unsubscribe_token(cast.vera.pk, ["security.roles", "gone.kind"])
    assert Client().post(f"{reverse('notifications:unsubscribe')}?{urlencode({'token': token})}").status_code == 200
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    dispatch.run()
    assert len(mail.outbox) == 1


def test_an_erased_persons_link_is_as_good_as_none(cast: Cast, letter: str) -> None:
    people.delete_account(fresh(cast.vera))
    assert Client().get(letter).status_code == Client().post(letter).status_code == 400
