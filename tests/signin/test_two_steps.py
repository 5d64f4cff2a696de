"""Authenticator apps and recovery codes: set-up, the second step, and what must not get around it."""
import re
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client

from portal.kernel.models import AuditEvent
from tenants import codes
from tenants.models import BrowserSession
from tests.cast import PASSWORD, Cast
from tests.signin.conftest import Clock, add_app, code_of, factors_of, give_password, is_in

SECOND, SET_UP = "/accounts/2fa/authenticate/", "/accounts/2fa/totp/activate/"


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("at", "id").values_list("action", flat=True))


def key_on(page: object) -> str:
    return re.search(r'data-copy="([A-Z2-7]{32})"', page.content.decode())[1]


def test_an_app_is_set_up_and_asked_for_from_then_on(cast: Cast, clock: Clock, signed_in: Callable[[str], Client],
                                                        committed: None) -> None:
    browser = signed_in("alice")
    page = browser.get(SET_UP)
    key = key_on(page)
    assert 'src="data:image/svg+xml' in page.content.decode() and page["Cache-Control"] == "no-store"
    assert browser.post(SET_UP, {"code": "000000"}).status_code == 200 and not factors_of(cast.alice)
    answer = browser.post(SET_UP, {"code": code_of(key, clock)})
    assert answer["Location"] == "/accounts/2fa/recovery-codes/"
    assert factors_of(cast.alice) == {"totp", "recovery_codes"} and "user.factor_add" in actions()
    [notice] = mail.outbox
    assert notice.to == ["alice@example.org"] and "authenticator app was set up" in notice.body
    codes_page = browser.get(answer["Location"]).content.decode()
    assert len(re.findall(r"^\d{8}$|>(\d{8})$", codes_page, re.M)) == 10
    assert not re.search(r"\d{8}\n", browser.get(answer["Location"]).content.decode()), "shown once"

    other = Client()
    assert give_password(other, "alice")["Location"] == SECOND and not is_in(other)
    assert other.post(SECOND, {"code": code_of(key, clock)}).status_code == 200, "the code of the set-up is used"
    clock.pass_by()
    assert other.post(SECOND, {"code": code_of(key, clock)})["Location"] == "/" and is_in(other)


def test_nothing_opens_between_the_steps(cast: Cast, clock: Clock, browser: Client) -> None:
    add_app(cast.root)
    assert give_password(browser, "root", next="/admin/")["Location"].startswith(SECOND)
    for path in ("/", "/projects/", "/admin/", "/api/v1/me/", "/accounts/2fa/", "/accounts/2fa/totp/deactivate/",
                 "/accounts/email/", "/accounts/password/change/", SET_UP, "/accounts/2fa/webauthn/add/"):
        assert browser.get(path).status_code in (302, 401, 403), path
    assert not is_in(browser) and browser.get("/api/v1/me/").status_code == 401
    assert browser.post(SET_UP, {"code": "000000"}).status_code == 302


def test_admin_has_no_door_of_its_own(cast: Cast, clock: Clock, browser: Client) -> None:
    key = add_app(cast.root)
    for path in ("/admin/login/", "/admin/", "/admin/tenants/user/"):
        assert browser.get(path, follow=True).redirect_chain[-1][0].startswith("/accounts/login/?next=")
    posted = browser.post("/admin/login/", {"username": "root", "password": PASSWORD, "next": "/admin/"})
    assert posted.status_code == 302 and not is_in(browser)
    give_password(browser, "root", next="/admin/")
    assert browser.post(SECOND, {"code": code_of(key, clock)})["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200


@pytest.mark.parametrize("again", ["same browser", "another browser"])
def test_no_code_is_good_twice(cast: Cast, clock: Clock, again: str) -> None:
    key = add_app(cast.alice)
    code, first, second = code_of(key, clock), Client(), Client()
    give_password(first, "alice")
    assert first.post(SECOND, {"code": code}).status_code == 302 and is_in(first)
    if again == "same browser":
        first.post("/accounts/logout/")
        second = first
    give_password(second, "alice")
    for _try in range(2):
        assert second.post(SECOND, {"code": code}).status_code == 200 and not is_in(second)
    clock.pass_by(2)
    assert second.post(SECOND, {"code": code}).status_code == 200, "nor later, while clocks may differ"
    assert second.post(SECOND, {"code": code_of(key, clock, -1)}).status_code == 302


def test_an_older_code_is_not_good_after_a_newer_one(cast: Cast, clock: Clock) -> None:
    key, app = add_app(cast.alice), Authenticator.objects.get(user=cast.alice)
    assert codes.use_app_code(app, code_of(key, clock, 1)), "a clock that is fast"
    assert not codes.use_app_code(app, code_of(key, clock)) and not codes.use_app_code(app, code_of(key, clock, 1))
    clock.pass_by(2)
    assert codes.use_app_code(app, f" {code_of(key, clock)[:3]} {code_of(key, clock)[3:]} ")
    assert not codes.use_app_code(app, code_of(key, clock, 2)) and not codes.use_app_code(app, code_of(key, clock, -2))


@pytest.mark.parametrize("code", ["", "1", "x" * 21, "١٢٣٤٥٦", "\0" * 6, "' OR 1=1", "1234567"])
def test_nonsense_is_no_code(cast: Cast, clock: Clock, browser: Client, code: str) -> None:
    add_app(cast.alice)
    give_password(browser, "alice")
    assert browser.post(SECOND, {"code": code}).status_code == 200 and not is_in(browser)


def test_guessing_ends_soon_and_is_in_the_trail(cast: Cast, clock: Clock, browser: Client) -> None:
    key = add_app(cast.alice)
    give_password(browser, "alice")
    statuses = [browser.post(SECOND, {"code": "000000"}).status_code for _number in range(10)]
    assert statuses[-1] == 429 and not is_in(browser)
    browser.post(SECOND, {"code": code_of(key, clock)})
    assert not is_in(browser), "the right one comes too late"
    assert give_password(Client(), "alice").status_code == 429, "the password too"
    refused = AuditEvent.objects.filter(action="user.second_factor", result="refused", actor=cast.alice)
    assert refused.count() == 10 and AuditEvent.objects.filter(action="user.locked_out").count() == 1


def test_a_recovery_code_signs_in_once(cast: Cast, clock: Clock, signed_in: Callable[[str], Client]) -> None:
    add_app(cast.alice)
    browser = Client()
    browser.force_login(cast.alice)
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert browser.post("/accounts/2fa/recovery-codes/generate/")["Location"] == "/accounts/2fa/recovery-codes/"
    shown = re.findall(r"\d{8}", browser.get("/accounts/2fa/recovery-codes/").content.decode())
    assert browser.get("/accounts/2fa/recovery-codes/download/").status_code == 403, "shown once, here too"
    mail.outbox.clear()
    for number, client in enumerate((Client(), Client())):
        give_password(client, "alice")
        answer = client.post(SECOND, {"code": shown[0]})
        assert answer.status_code == (200 if number else 302) and is_in(client) is not bool(number)
    [used] = AuditEvent.objects.filter(action="user.recovery_code")
    assert used.after == {"left": 9} and not any(code in str(used.after) for code in shown)
    assert any("9 are left" in one.body for one in mail.outbox)


def test_a_new_password_by_mail_does_not_get_around_it(cast: Cast, clock: Clock, browser: Client) -> None:
    add_app(cast.alice)
    EmailAddress.objects.create(user=cast.alice, email=cast.alice.email, verified=True, primary=True)
    browser.post("/accounts/password/reset/", {"email": cast.alice.email})
    link = re.search(r"http://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)[1]
    form = browser.get(link)["Location"]
    browser.post(form, {"password1": "quite another one", "password2": "quite another one"})
    assert not is_in(browser)
    assert give_password(browser, "alice", "quite another one")["Location"] == SECOND and not is_in(browser)


def test_factors_are_changed_only_by_who_proves_again_who_they_are(cast: Cast, clock: Clock, browser: Client) -> None:
    """A browser left open, or a stolen session, is not enough."""
    give_password(browser, "alice")
    for path in (SET_UP, "/accounts/2fa/webauthn/add/"):
        assert browser.get(path)["Location"].startswith("/accounts/reauthenticate/")
        assert browser.post(path, {"code": "000000", "credential": "{}"})["Location"].startswith("/accounts/reauthenticate/")
    add_app(cast.alice)
    for path in ("/accounts/2fa/totp/deactivate/", "/accounts/2fa/recovery-codes/generate/"):
        assert browser.post(path)["Location"].startswith("/accounts/")
    assert factors_of(cast.alice) == {"totp"}
    assert browser.post("/accounts/reauthenticate/", {"password": "wrong"}).status_code == 200
    assert browser.post("/accounts/2fa/totp/deactivate/").status_code == 302 and factors_of(cast.alice) == {"totp"}
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    browser.post("/accounts/2fa/totp/deactivate/")
    assert factors_of(cast.alice) == set() and "user.factor_remove" in actions()


def test_secrets_rest_encrypted_and_move_to_a_new_key(cast: Cast, clock: Clock, settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.MASTER_KEYS = [old]
    key = add_app(cast.alice)
    with connection.cursor() as cursor:
        cursor.execute("SELECT data::text FROM mfa_authenticator")
        assert key not in cursor.fetchone()[0]
    settings.MASTER_KEYS = [new, old]
    call_command("rotate_secrets", verbosity=0)
    settings.MASTER_KEYS = [new]
    assert codes.use_app_code(Authenticator.objects.get(), code_of(key, clock))


def test_an_operator_helps_who_lost_theirs(cast: Cast, clock: Clock, browser: Client) -> None:
    add_app(cast.alice)
    admin = cast.browser("root")
    admin.post("/admin/tenants/user/", {"action": "remove_factors", "_selected_action": str(cast.alice.pk), "confirmed": "1"})
    assert factors_of(cast.alice) == set() and "user.factors_reset" in actions()
    give_password(browser, "alice")
    assert is_in(browser)
    add_app(cast.root)
    admin.post("/admin/tenants/user/", {"action": "remove_factors", "_selected_action": str(cast.root.pk), "confirmed": "1"})
    assert factors_of(cast.root) == {"totp"}, "not for themselves: a session left open is no second step"


def test_no_page_or_row_shows_a_secret(cast: Cast, clock: Clock, browser: Client) -> None:
    key = add_app(cast.alice)
    admin = cast.browser("root")
    row = Authenticator.objects.get()
    for path in ("/admin/mfa/authenticator/", f"/admin/mfa/authenticator/{row.pk}/change/", "/accounts/2fa/"):
        text = admin.get(path).content.decode()
        assert key not in text and row.data["secret"] not in text
    session = BrowserSession.objects.filter(user=cast.root).first()
    for path in ("/admin/tenants/browsersession/", f"/admin/tenants/browsersession/{session.pk}/change/"):
        text = admin.get(path)
        assert text.status_code == 200 and session.session_key not in text.content.decode()
        assert session.session_data not in text.content.decode()


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_pages_are_in_the_portals_frame(cast: Cast, clock: Clock, signed_in: Callable[[str], Client], language: str) -> None:
    browser = signed_in("alice")
    add_app(cast.alice)
    pages = ("/accounts/2fa/", "/accounts/2fa/totp/deactivate/", "/accounts/2fa/webauthn/add/", "/accounts/2fa/webauthn/",
             "/accounts/2fa/recovery-codes/generate/", "/profile/", "/profile/sessions/")
    for path in pages:
        answer = browser.get(path, headers={"accept-language": language})
        text = answer.content.decode()
        assert answer.status_code == 200 and "mains.css" in text, path
        assert ("style=" not in text and "onclick" not in text and 'class="crumbs"' in text) or path == "/profile/", path
