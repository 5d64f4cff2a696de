"""Single sign-on, against a real provider that runs beside the test: the whole code flow over HTTP, and what must not get in."""
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client

from portal.kernel.models import AuditEvent
from tenants import people
from tenants.models import Binding, Connection, ConnectionDomain, User
from tenants.single_sign_on.asking import AskingSession, checked_url
from tests.cast import Cast
from tests.signin import provider
from tests.signin.conftest import add_app, give_password, is_in

ROOT = Path(__file__).resolve().parents[2]
BACK = "http://testserver/accounts/oidc/acme/login/callback/"
ENTRY = "/accounts/oidc/acme/login/"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory) -> Iterator[str]:
    """The provider's address."""
    program = subprocess.Popen([sys.executable, "-m", "tests.signin.provider", str(tmp_path_factory.mktemp("provider")), BACK],
                               cwd=ROOT, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"})
    try:
        yield f"http://127.0.0.1:{int(program.stdout.readline())}"
    finally:
        program.terminate()
        program.wait(10)


@pytest.fixture
def acme(cast: Cast, issuer: str, settings) -> Iterator[Connection]:
    """Acme's connection, which speaks for acme.example; new members look."""
    settings.DEMO = True  # plain HTTP to this machine
    row = Connection.objects.create(slug="acme", name="Acme ID", issuer=issuer, client_id=provider.CLIENT,
                                    client_secret=provider.SECRET, organization=cast.organization, role="viewer")
    ConnectionDomain.objects.create(connection=row, name="acme.example")
    yield row
    httpx.get(f"{issuer}/twist/")


def at_provider(name: str, address: str) -> str:
    """Sign in there as somebody; where it sends the browser back to."""
    with httpx.Client(follow_redirects=False) as browser:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        form = browser.get(f"{origin}/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)[1]
        answer = browser.post(f"{origin}/accounts/login/", data={
            "login": name, "password": provider.PASSWORD, "csrfmiddlewaretoken": token}, headers={"referer": origin})
        assert answer.status_code == 302, answer.text
        return browser.get(address).headers["location"]


def led(answer: object) -> str:
    """Where the page that goes on by itself leads."""
    assert answer.status_code == 200, answer.content
    return answer["Refresh"].removeprefix("0; url=")


def led_to(client: Client, path: str = "", **sent: str) -> str:
    """Where the button leads."""
    answer = client.post(path or ENTRY, sent)
    assert answer.status_code == 200, answer.content
    return answer["Refresh"].partition("url=")[2]


def come(name: str, client: Client | None = None, **sent: str) -> tuple[Client, object]:
    """The whole way: button, provider, back."""
    client = client or Client(headers={"accept-language": "en"})
    there = client.post(ENTRY, sent)
    return client, client.get(at_provider(name, led(there)))


def lie(issuer: str, claim: str, value: object) -> None:
    httpx.get(f"{issuer}/twist/{claim}/{quote(json.dumps(value), safe='')}/")


def reasons() -> list[str]:
    return [event.after["reason"] for event in AuditEvent.objects.filter(action="user.sign_on", result="refused")]


# -- who gets in --

def test_somebody_new_becomes_a_member(cast: Cast, acme: Connection) -> None:
    client, answer = come("dave", next="/instances/")
    assert answer["Location"] == "/instances/" and is_in(client)
    dave = User.objects.get(email="dave@acme.example")
    assert not dave.has_usable_password() and (dave.first_name, dave.last_name) == ("Dave", ""), "no markup for a name"
    assert EmailAddress.objects.get(user=dave).verified
    assert Binding.objects.get(user=dave).role == "viewer" and client.get(f"/projects/{cast.project.pk}/").status_code == 200
    assert set(AuditEvent.objects.filter(actor=dave).values_list("action", flat=True)) >= {
        "user.create", "user.connection_add", "member.bind"}
    client.post("/accounts/logout/")
    client, _answer = come("dave", client)
    assert is_in(client) and User.objects.filter(email="dave@acme.example").count() == SocialAccount.objects.count() == 1


def test_the_request_carries_state_nonce_and_pkce(acme: Connection) -> None:
    asked = [parse_qs(urlsplit(led(Client().post(ENTRY))).query) for _number in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({one[name][0] for one in asked}) == 2 and len(asked[0][name][0]) >= 16
    assert asked[0]["code_challenge_method"] == ["S256"] and asked[0]["redirect_uri"] == [BACK]
    assert set(asked[0]["scope"][0].split()) == {"openid", "profile", "email"}


def test_a_link_asks_for_nothing_else_and_signs_nobody_in(acme: Connection) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.get(ENTRY).status_code == 200, "a question"
    assert client.post(ENTRY).status_code == 403
    asked = parse_qs(urlsplit(led(Client().post(
        f"{ENTRY}?scope=admin&auth_params=redirect_uri%3Dhttps%3A%2F%2Fevil.example&process=connect"))).query)
    assert asked["redirect_uri"] == [BACK] and "admin" not in asked["scope"][0]


def test_a_role_is_no_condition_of_signing_in(cast: Cast, acme: Connection) -> None:
    Connection.objects.update(role="")
    client, _answer = come("dave")
    text = client.get("/").content.decode()
    assert is_in(client) and not Binding.objects.filter(user__email="dave@acme.example").exists()
    assert "You do not belong to an organization" in client.get("/organization/").content.decode() and "mains.css" in text


def test_who_was_put_out_is_not_let_in_again_by_signing_in(cast: Cast, acme: Connection) -> None:
    come("dave")
    dave = User.objects.get(email="dave@acme.example")
    people.remove_member(dave, cast.organization, actor=cast.alice)
    client, _answer = come("dave")
    assert is_in(client) and not Binding.objects.filter(user=dave).exists()


def test_the_second_step_is_asked_for_all_the_same(cast: Cast, acme: Connection) -> None:
    come("dave")
    add_app(User.objects.get(email="dave@acme.example"))
    client, answer = come("dave")
    assert answer["Location"] == "/accounts/2fa/authenticate/" and not is_in(client)


def test_nobody_inactive_comes_in(cast: Cast, acme: Connection) -> None:
    come("dave")
    User.objects.filter(email="dave@acme.example").update(is_active=False)
    client, _answer = come("dave")
    assert not is_in(client)


# -- accounts that are there already --

def local(cast: Cast, *, proved: bool | None) -> User:
    """Alice's address is one of Acme's domain; None: operators gave it."""
    User.objects.filter(pk=cast.alice.pk).update(email="alice@acme.example")
    if proved is not None:
        EmailAddress.objects.create(user=cast.alice, email="alice@acme.example", verified=proved, primary=True)
    return cast.alice


@pytest.mark.parametrize("proved", [True, None])
def test_an_account_is_taken_over_where_the_provider_speaks_for_its_domain(cast: Cast, acme: Connection,
                                                                                proved: bool | None) -> None:
    alice = local(cast, proved=proved)
    client, _answer = come("alice")
    assert client.session["_auth_user_id"] == str(alice.pk) and SocialAccount.objects.get().user == alice


def test_an_address_that_nobody_proved_here_is_nobodys(cast: Cast, acme: Connection) -> None:
    """Somebody signed up with a victim's address beforehand: the victim does not come into that account."""
    alice = local(cast, proved=False)
    client, _answer = come("alice")
    assert is_in(client) and client.session["_auth_user_id"] != str(alice.pk)


def test_no_account_is_taken_over_for_another_domain(cast: Cast, acme: Connection) -> None:
    User.objects.filter(pk=cast.mallory.pk).update(email="fay@elsewhere.example")
    client, answer = come("fay")
    assert not is_in(client) and answer["Location"] == "/accounts/login/" and reasons() == ["foreign"]
    assert "may not sign in anybody with your e-mail address" in client.get("/accounts/login/").content.decode()
    assert not SocialAccount.objects.exists()


def test_nor_by_a_provider_without_domains(cast: Cast, acme: Connection) -> None:
    ConnectionDomain.objects.all().delete()
    local(cast, proved=True)
    client, _answer = come("alice")
    assert not is_in(client) and reasons() == ["taken"]
    client, _answer = come("dave")
    assert is_in(client), "new accounts it may make"


def test_nor_one_without_domains_makes_accounts_of_anothers(cast: Cast, acme: Connection) -> None:
    other = Connection.objects.create(slug="other", name="Other", issuer="https://other.example", client_id="x")
    ConnectionDomain.objects.update(connection=other)
    client, _answer = come("dave")
    assert not is_in(client) and reasons() == ["foreign"]


def test_an_organizations_provider_never_signs_in_an_operator(cast: Cast, acme: Connection) -> None:
    User.objects.filter(pk=cast.root.pk).update(email="root@acme.example")
    client, _answer = come("root")
    assert not is_in(client) and reasons() == ["operator"]
    Connection.objects.update(organization=None)
    client, _answer = come("root")
    assert client.session["_auth_user_id"] == str(cast.root.pk), "the site's own may"


def test_nor_one_who_became_an_operator_since(cast: Cast, acme: Connection) -> None:
    client, _answer = come("dave")
    assert is_in(client)
    dave = User.objects.get(pk=client.session["_auth_user_id"])
    for right in ("is_superuser", "is_staff"):
        User.objects.filter(pk=dave.pk).update(is_superuser=False, is_staff=False)
        User.objects.filter(pk=dave.pk).update(**{right: True})
        client, _answer = come("dave")
        assert not is_in(client), right
    assert reasons() == ["operator", "operator"]
    said = [str((row.before, row.after)) for row in AuditEvent.objects.all()]
    assert not any("acme.example" in text for text in said), "an address that nobody could erase"


def test_an_unproved_address_gets_nobody_in(cast: Cast, acme: Connection, issuer: str) -> None:
    client, _answer = come("eve")
    assert not is_in(client) and reasons() == ["unproved"] and not User.objects.filter(email="eve@acme.example").exists()


@pytest.mark.parametrize(("claim", "value"), [
    ("email_verified", "true"), ("email_verified", 1), ("email", None), ("email", "dave@acme.example\0"),
    ("email", "dave@evil.example, x@acme.example"), ("email", ["dave@acme.example"]), ("email", "@acme.example"),
    ("email", "dave@acme.example.evil.example"), ("email", "dave@ACME.example@evil.example"),
    ("email", "x" * 5000 + "@acme.example"),
])
def test_odd_claims_get_nobody_in(cast: Cast, acme: Connection, issuer: str, claim: str, value: object) -> None:
    lie(issuer, claim, value)
    before = User.objects.count()
    client, answer = come("dave")
    assert not is_in(client) and answer.status_code in (302, 401) and User.objects.count() == before


@pytest.mark.parametrize(("claim", "value"), [
    ("nonce", "another"), ("nonce", None), ("aud", "another"), ("iss", "https://evil.example"), ("exp", 1), ("exp", None),
    ("sub", None), ("sub", ""), ("sub", 7), ("sub", "x" * 500), ("azp", "another"), ("iat", None)])
def test_tokens_that_are_not_for_this_browser_and_us_get_nobody_in(cast: Cast, acme: Connection, issuer: str, claim: str,
                                                                        value: object) -> None:
    lie(issuer, claim, value)
    client, answer = come("dave")
    assert answer.status_code == 401 and not is_in(client) and not SocialAccount.objects.exists()
    assert "Single sign-on did not work" in answer.content.decode() and issuer not in answer.content.decode()


# -- the browser's side --

def test_an_answer_is_good_once_in_the_browser_that_asked(cast: Cast, acme: Connection) -> None:
    client, thief = Client(), Client()
    back = at_provider("dave", led(client.post(ENTRY)))
    assert thief.get(back).status_code == 401 and not is_in(thief), "no state of its own"
    thief.post(ENTRY)
    assert thief.get(back).status_code == 401 and not is_in(thief), "nor another's"
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert client.get(back.replace(state, "x" * 16)).status_code == 401
    assert client.get(back).status_code == 302 and is_in(client)
    client.post("/accounts/logout/")
    assert client.get(back).status_code == 401 and not is_in(client), "a second time"


def test_a_code_of_another_browser_is_of_no_use(cast: Cast, acme: Connection) -> None:
    """Injection: a victim's code with the attacker's state; PKCE is what tells them apart."""
    victim, attacker = Client(), Client()
    stolen = parse_qs(urlsplit(at_provider("dave", led(victim.post(ENTRY)))).query)["code"][0]
    own = at_provider("gus", led(attacker.post(ENTRY)))
    code = parse_qs(urlsplit(own).query)["code"][0]
    assert attacker.get(own.replace(quote(code, safe=""), quote(stolen, safe=""))).status_code == 401 and not is_in(attacker)


@pytest.mark.parametrize("error", ["access_denied", "server_error"])
def test_what_was_cancelled_there_is_said_here(acme: Connection, error: str) -> None:
    client = Client(headers={"accept-language": "en"})
    state = parse_qs(urlsplit(led(client.post(ENTRY))).query)["state"][0]
    answer = client.get(f"/accounts/oidc/acme/login/callback/?error={error}&state={state}", follow=True)
    assert ("You cancelled it" if error == "access_denied" else "did not work") in answer.content.decode()


def test_a_provider_that_is_away_is_said_and_nothing_else(cast: Cast, acme: Connection) -> None:
    Connection.objects.update(issuer="http://127.0.0.1:9")
    answer = Client(headers={"accept-language": "en"}).post(ENTRY)
    assert answer.status_code == 401 and b"did not work" in answer.content and b"127.0.0.1" not in answer.content


def test_another_issuer_than_was_set_up_is_none(cast: Cast, acme: Connection, issuer: str) -> None:
    Connection.objects.update(issuer=f"{issuer}/.well-known/openid-configuration?")
    assert Client().post(ENTRY).status_code == 401


@pytest.mark.parametrize("url", [
    "http://id.example.org", "http://169.254.169.254/", "ftp://id.example.org", "https://", "https://user@id.example.org",
    "file:///etc/passwd", "javascript:alert(1)", "", None, "https://id.example.org:0", "http://127.0.0.1.evil.example",
    "http://[::ffff:10.0.0.1]/"])
def test_addresses_that_are_never_asked(settings, url: str | None) -> None:
    settings.DEMO = True
    with pytest.raises(Exception, match="https"):
        checked_url(url)
    settings.DEMO = False
    with pytest.raises(Exception, match="https"):
        checked_url("http://127.0.0.1:8000/")
    with pytest.raises(Exception, match="https"), AskingSession() as session:
        session.get("http://127.0.0.1:8000/")


# -- only this way --

def test_people_of_a_domain_come_only_this_way_where_it_says_so(cast: Cast, acme: Connection) -> None:
    alice = local(cast, proved=True)
    Connection.objects.update(is_only=True)
    client = Client(headers={"accept-language": "en"})
    assert give_password(client, "alice")["Location"] == ENTRY and not is_in(client)
    assert "Acme ID" in client.get(ENTRY).content.decode()
    assert give_password(Client(), "alice", "wrong").status_code == 200, "and a wrong password tells nothing"
    come("alice", client)
    assert client.session["_auth_user_id"] == str(alice.pk)
    give_password(other := Client(), "vera")
    assert is_in(other)
    User.objects.filter(pk=cast.root.pk).update(email="root@acme.example")
    give_password(operator := Client(), "root")
    assert is_in(operator), "operators, who would have to mend it"
    Connection.objects.update(is_enabled=False)
    give_password(again := Client(), "alice")
    assert is_in(again)


# -- buttons, and admin --

def test_buttons_and_the_way_by_address(cast: Cast, acme: Connection) -> None:
    client = Client(headers={"accept-language": "en"})
    text = client.get("/accounts/login/?next=/instances/").content.decode()
    assert "Sign in with Acme ID" in text and text.count('name="next" value="/instances/"') >= 2
    Connection.objects.update(is_listed=False)
    text = client.get("/accounts/login/").content.decode()
    assert "Acme" not in text and "Single sign-on of your company" in text, "who the customers are is nobody's business"
    assert client.post("/accounts/oidc/", {"email": "anybody@Acme.example"})["Location"] == ENTRY
    for email in ("x@elsewhere.example", "nonsense", ""):
        assert client.post("/accounts/oidc/", {"email": email}).status_code == 200
    Connection.objects.update(is_enabled=False)
    assert client.get(ENTRY).status_code == 404 and "company" not in client.get("/accounts/login/").content.decode()


def test_it_is_set_up_in_admin_and_its_secret_never_shown(cast: Cast) -> None:
    admin = cast.browser("root")
    form = {"name": "Acme ID", "slug": "acme", "issuer": "https://id.acme.example", "client_id": "mains",
            "client_secret": "hush-hush",
            "organization": str(cast.organization.pk), "role": "viewer", "is_listed": "on", "is_enabled": "on",
            "domains-TOTAL_FORMS": "1", "domains-INITIAL_FORMS": "0", "domains-0-name": "acme.example"}
    answer = admin.post("/admin/tenants/connection/add/", form)
    assert answer.status_code == 302, re.findall(r'errorlist.*', answer.content.decode())
    row = Connection.objects.get()
    assert row.client_secret == "hush-hush" and [one.name for one in row.domains.all()] == ["acme.example"]
    page = f"/admin/tenants/connection/{row.pk}/change/"
    assert "hush-hush" not in admin.get(page).content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT client_secret FROM tenants_connection")
        assert "hush" not in cursor.fetchone()[0]
    changed = form | {"client_secret": "", "name": "Acme", "issuer": "https://evil.example", "slug": "evil",
                      "domains-INITIAL_FORMS": "1", "domains-0-id": str(row.domains.get().pk),
                      "domains-0-connection": str(row.pk)}
    assert admin.post(page, changed).status_code == 302
    row.refresh_from_db()
    assert (row.client_secret, row.name, row.issuer, row.slug) == ("hush-hush", "Acme", "https://id.acme.example", "acme")
    assert not any("hush" in str((event.before, event.after)) for event in AuditEvent.objects.all())
    for bad in ({"issuer": "http://id.acme.example"}, {"role": "owner"}, {"domains-0-name": "Not A Domain"}):
        other = form | {"slug": "b", "domains-0-name": "b.example"} | bad
        assert admin.post("/admin/tenants/connection/add/", other).status_code == 200
    assert Connection.objects.count() == 1


def test_no_domain_has_two_providers_and_no_provider_two_names(cast: Cast, acme: Connection) -> None:
    other = Connection.objects.create(slug="other", name="Other", issuer="https://other.example", client_id="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        ConnectionDomain.objects.create(connection=other, name="acme.example")
    with pytest.raises(IntegrityError), transaction.atomic():
        Connection.objects.create(slug="twice", name="Twice", issuer=acme.issuer, client_id=acme.client_id)
    for name in ("acme", "-a.example", "A.example", "a b.example", "*.example", "a.example."):
        with pytest.raises(ValidationError):
            ConnectionDomain(connection=other, name=name).full_clean()


def test_staff_who_are_no_superusers_set_up_nothing(cast: Cast, acme: Connection) -> None:
    from tests.portal.admin.scene import staff
    from tests.portal.scenery import Scene

    clerk = staff(Scene(cast, {}, {}), "view_connection", "change_connection", "add_connection")
    for path in ("", "add/", f"{acme.pk}/change/"):
        assert clerk.get(f"/admin/tenants/connection/{path}").status_code == 403


def test_a_forgotten_person_is_forgotten_here_too(cast: Cast, acme: Connection) -> None:
    client, _answer = come("dave")
    dave = User.objects.get(email="dave@acme.example")
    people.delete_account(dave)
    assert not SocialAccount.objects.exists() and client.get("/").status_code == 302
