"""Webhooks by REST and in the browser: who may, what is shown once, and what others find out: nothing."""
import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.test import Client

from portal.kernel.models import AuditEvent, IdempotencyKey
from tenants import operations as tenants
from tenants.roles import bind
from tenants.webhooks import dispatch, events, operations
from tenants.webhooks.delivery import ERRORS
from tenants.webhooks.models import Delivery, Webhook
from tests.cast import Cast
from tests.webhooks.receiver import Receiver, status

Make = Callable[..., Webhook]
HOOKS, DELIVERIES = "/api/v1/webhooks/", "/api/v1/webhook-deliveries/"


def body(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {"organization": str(cast.organization.pk), "name": "chat", "url": "https://hooks.example.org/T0/very-private",
            "events": ["instance.*"]} | changes


# -- REST --

def test_made_shown_changed_and_deleted(cast: Cast) -> None:
    client = cast.api("alice")
    made = client.post(HOOKS, body(cast), format="json")
    assert made.status_code == 201 and re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made.json()["secret"])
    address = f"{HOOKS}{made.json()['id']}/"
    shown = client.get(address).json()
    assert "secret" not in shown and shown["state"] == "enabled" and shown["project"] is None
    changed = client.patch(address, {"events": ["*.failed"], "enabled": False}, format="json").json()
    assert (changed["events"], changed["state"]) == (["*.failed"], "disabled")
    assert client.patch(address, {"enabled": True}, format="json").json()["state"] == "enabled"
    assert client.delete(address).status_code == 204 and client.get(address).status_code == 404
    assert client.get(HOOKS).json()["results"] == []


def test_the_secret_is_in_no_other_answer_and_never_replayed(cast: Cast) -> None:
    client = cast.api("alice")
    first, again = (client.post(HOOKS, body(cast), format="json", HTTP_IDEMPOTENCY_KEY="k").json() for _twice in range(2))
    secret = first["secret"]
    assert again["id"] == first["id"] and again["secret"] is None
    rotated = client.post(f"{HOOKS}{first['id']}/actions/rotate/", {}, format="json").json()
    assert rotated["secret"] not in (None, secret) and rotated["previous_until"]
    client.patch(f"{HOOKS}{first['id']}/", {"url": "https://hooks.example.org/T1/very-private"}, format="json")
    client.post(f"{HOOKS}{first['id']}/actions/test/", {}, format="json")
    audit = client.get("/api/v1/audit/").json()["results"]
    told = str([*AuditEvent.objects.values(), *IdempotencyKey.objects.values(), *Delivery.objects.values(), audit,
                client.get(HOOKS).json(), client.get(DELIVERIES).json(), client.get(f"{HOOKS}{first['id']}/").json()])
    for text in (secret, rotated["secret"], secret.removeprefix("whsec_")):
        assert text not in told
    assert "very-private" not in str([*AuditEvent.objects.values()]), "addresses carry secrets, and viewers read the trail"


def test_at_rest_secrets_are_encrypted_and_move_to_a_new_master_key(cast: Cast, make: Make, settings) -> None:
    webhook, secret = operations.rotate_secret(make(), actor=cast.alice)

    def stored() -> tuple[str, str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT secret, previous_secret FROM webhooks_webhook WHERE id = %s", [webhook.pk])
            return cursor.fetchone()
    before = stored()
    assert "whsec_" not in "".join(before)
    new = Fernet.generate_key().decode()
    settings.MASTER_KEYS = [new, *settings.MASTER_KEYS]
    call_command("rotate_secrets", verbosity=0)
    settings.MASTER_KEYS = [new]
    assert stored() != before and Webhook.objects.get(pk=webhook.pk).secret == secret


def test_logs_name_no_secret_and_no_address(make: Make, hooked: Receiver, capfd: pytest.CaptureFixture[str],
                                            caplog: pytest.LogCaptureFixture) -> None:
    webhook = make(url=hooked.url + "&token=very-private")
    events.test_event(webhook)
    with caplog.at_level("DEBUG"):
        dispatch.run()
    written = caplog.text + "".join(capfd.readouterr())
    assert len(hooked.seen) == 1 and "very-private" not in written and webhook.secret not in written


@pytest.mark.parametrize(("changes", "field"), [
    ({"url": "https://10.0.0.1/"}, "url"), ({"url": "ftp://example.org/"}, "url"), ({"url": "x"}, "url"),
    ({"events": []}, "events"), ({"events": ["instnace.*"]}, "events"), ({"events": ["("]}, "events"),
    ({"events": ["*"] * 51}, "events"),
    ({"events": "*"}, "events"),
    ({"secret": "short"}, "secret"), ({"secret": "whsec_!"}, "secret"), ({"secret": "whsec_QUFBQQ=="}, "secret"),
    ({"name": ""}, "name"), ({"state": "enabled"}, "state"), ({"organization": None}, "organization")])
def test_what_is_refused(cast: Cast, changes: dict[str, Any], field: str) -> None:
    answer = cast.api("alice").post(HOOKS, body(cast, **changes), format="json")
    assert answer.status_code == 400 and [name.partition(".")[0] for name in answer.json()["errors"]] == [field]
    assert not Webhook.objects.exists()


def test_neither_organization_nor_project(cast: Cast) -> None:
    wanted = body(cast)
    del wanted["organization"]
    assert cast.api("alice").post(HOOKS, wanted, format="json").status_code == 400


def test_a_secret_of_ones_own(cast: Cast) -> None:
    mine = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert cast.api("alice").post(HOOKS, body(cast, secret=mine), format="json").json()["secret"] == mine


def test_so_many_and_no_more(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_WEBHOOKS", 2)
    client = cast.api("alice")
    made = [client.post(HOOKS, body(cast), format="json") for _number in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 409] and made[2].json()["code"] == "quota_exceeded"
    client.delete(f"{HOOKS}{made[0].json()['id']}/")
    assert client.post(HOOKS, body(cast), format="json").status_code == 201


def test_an_administrator_of_a_project_has_that_projects_and_no_more(cast: Cast, make: Make) -> None:
    wide, other = make(), make(project=tenants.create_project(cast.organization, "other", actor=None))
    client = cast.api("adam")
    assert client.post(HOOKS, body(cast), format="json").status_code == 403
    mine = client.post(HOOKS, {"project": str(cast.project.pk)} | {name: value for name, value in body(cast).items()
                                                                   if name != "organization"}, format="json")
    assert mine.status_code == 201
    assert [row["id"] for row in client.get(HOOKS).json()["results"]] == [mine.json()["id"]]
    for webhook in (wide, other):
        for send in (client.get, client.delete):
            assert send(f"{HOOKS}{webhook.pk}/").status_code == 404
        assert client.post(f"{HOOKS}{webhook.pk}/actions/rotate/", {}, format="json").status_code == 404


def test_a_project_of_another_organization_is_not_its_place(cast: Cast) -> None:
    bind(cast.alice, "owner", cast.rival_organization)
    answer = cast.api("alice").post(HOOKS, body(cast, project=str(cast.rival_project.pk)), format="json")
    assert answer.status_code == 400 and list(answer.json()["errors"]) == ["project"]


@pytest.mark.parametrize("permission", ["webhook.view", "webhook.manage"])
def test_the_whole_organizations_webhook_needs_the_right_in_all_of_it(cast: Cast, make: Make, permission: str) -> None:
    webhook = make()
    delivery = events.test_event(webhook)
    for subject in (webhook, delivery):
        assert cast.alice.grants.allows(permission, subject)
        for name in ("adam", "oscar", "vera", "mallory"):
            assert not cast.people[name].grants.allows(permission, subject)


@pytest.mark.parametrize("pattern", ["*", "a*", "audit.*", "audit.vpc.create", "*.failed"])
def test_who_may_not_see_acts_hears_of_none(cast: Cast, make: Make, pattern: str) -> None:
    narrow = cast.key("alice", scopes=["webhook.view", "webhook.manage"])
    assert narrow.post(HOOKS, body(cast), format="json").status_code == 201
    refused = narrow.post(HOOKS, body(cast, events=["instance.*", pattern]), format="json")
    assert refused.status_code == 403 and "audit.view" in refused.json()["detail"]
    address = f"{HOOKS}{make().pk}/"
    assert narrow.patch(address, {"events": [pattern]}, format="json").status_code == 403
    assert cast.key("alice").patch(address, {"events": [pattern]}, format="json").status_code == 200


def test_the_rival_reaches_nothing(cast: Cast, make: Make) -> None:
    webhook = make()
    delivery = events.test_event(webhook)
    client = cast.api("mallory")
    assert client.post(HOOKS, body(cast), format="json").status_code == 404
    assert client.get(HOOKS).json()["results"] == client.get(DELIVERIES).json()["results"] == []
    assert client.get(DELIVERIES, {"webhook": str(webhook.pk)}).json()["results"] == []
    asked = [("get", f"{HOOKS}{webhook.pk}/", None), ("patch", f"{HOOKS}{webhook.pk}/", {"url": "https://evil.example.org/"}),
             ("delete", f"{HOOKS}{webhook.pk}/", None), ("get", f"{DELIVERIES}{delivery.pk}/", None),
             *(("post", f"{HOOKS}{webhook.pk}/actions/{verb}/", {}) for verb in ("test", "rotate")),
             ("post", f"{DELIVERIES}{delivery.pk}/actions/resend/", {})]
    for method, path, sent in asked:
        assert getattr(client, method)(path, sent, format="json").status_code == 404, path
    webhook.refresh_from_db()
    assert webhook.url.startswith("http://127.0.0.1") and webhook.deleted_at is None and Delivery.objects.count() == 1


def test_the_log_shows_attempts_and_sends_again(cast: Cast, make: Make, hooked: Receiver) -> None:
    hooked.answers = [status(503, b"come back later")]
    webhook, client = make(), cast.api("alice")
    sent = client.post(f"{HOOKS}{webhook.pk}/actions/test/", {}, format="json")
    assert sent.status_code == 201
    dispatch.run()
    [row] = client.get(DELIVERIES, {"webhook": str(webhook.pk), "state": "failed"}).json()["results"]
    assert row["message_id"] == hooked.seen[0].headers["webhook-id"] and row["payload"]["type"] == row["type"] == "webhook.test"
    [attempt] = row["attempts"]
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (503, "status", "come back later")
    again = client.post(f"{DELIVERIES}{row['id']}/actions/resend/", {}, format="json")
    assert again.status_code == 200 and again.json()["state"] == "pending"
    dispatch.run()
    assert client.get(f"{DELIVERIES}{row['id']}/").json()["state"] == "succeeded"
    client.patch(f"{HOOKS}{webhook.pk}/", {"enabled": False}, format="json")
    assert client.post(f"{DELIVERIES}{row['id']}/actions/resend/", {}, format="json").status_code == 409
    assert client.post(f"{HOOKS}{webhook.pk}/actions/test/", {}, format="json").status_code == 409


# -- pages --

def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.content[:500]
    return response.content.decode()


def form(cast: Cast, **changes: str) -> dict[str, str]:
    return {"where": str(cast.organization.pk), "name": "chat", "url": "https://hooks.example.org/x",
            "events": "instance.*\n*.failed", "description": ""} | changes


def test_made_in_the_browser_and_the_secret_is_shown_once(cast: Cast) -> None:
    browser = cast.browser("alice")
    assert "Create webhook" in page(browser, "/webhooks/") and "all projects" in page(browser, "/webhooks/create/")
    answer = browser.post("/webhooks/create/", form(cast))
    webhook = Webhook.objects.get()
    assert webhook.secret in answer.content.decode().replace("&#x2B;", "+") and answer["Cache-Control"] == "no-store"
    assert webhook.events == ["instance.*", "*.failed"]
    shown = page(browser, f"/webhooks/{webhook.pk}/")
    assert webhook.secret not in shown and "hooks.example.org/x" in shown
    assert "chat" in page(browser, "/webhooks/")


@pytest.mark.parametrize(("changes", "said"), [
    ({"url": "http://169.254.169.254/"}, "https"), ({"url": "https://169.254.169.254/"}, "public addresses"),
    ({"events": "nonsense.*"}, "No event matches"), ({"events": ""}, "required"), ({"where": "x"}, "Select a valid choice")])
def test_mistakes_are_said_beside_the_field(cast: Cast, settings, changes: dict[str, str], said: str) -> None:
    settings.WEBHOOKS = settings.WEBHOOKS | {"plain_http": False}
    answer = cast.browser("alice").post("/webhooks/create/", form(cast, **changes))
    assert answer.status_code == 400 and said in answer.content.decode() and not Webhook.objects.exists()


def test_too_many_are_said_on_the_page(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_WEBHOOKS", 0)
    answer = cast.browser("alice").post("/webhooks/create/", form(cast))
    assert answer.status_code == 409 and "quota" in answer.content.decode().lower()


def test_changed_tested_rotated_stopped_and_deleted_in_the_browser(cast: Cast, make: Make, hooked: Receiver) -> None:
    webhook, browser = make(), cast.browser("alice")
    here = f"/webhooks/{webhook.pk}/"
    assert browser.post(here + "edit/", {"name": "new", "url": hooked.url, "events": "*"}).status_code == 302
    browser.post(here + "test/")
    dispatch.run()
    delivery = Delivery.objects.get(type="webhook.test")
    assert "webhook.test" in page(browser, here) and delivery.message_id in page(browser, f"/webhooks/deliveries/{delivery.pk}/")
    assert browser.post(f"/webhooks/deliveries/{delivery.pk}/resend/").status_code == 302
    old = webhook.secret
    assert "24 hours" in browser.post(here + "rotate/").content.decode()
    assert Webhook.objects.get().secret == old
    answer = browser.post(here + "rotate/", {"confirmed": "1"})
    webhook.refresh_from_db()
    assert webhook.secret != old and webhook.secret in answer.content.decode().replace("&#x2B;", "+")
    browser.post(here + "disable/")
    webhook.refresh_from_db()
    assert (webhook.name, webhook.state) == ("new", "disabled") and "disabled" in page(browser, here)
    browser.post(here + "enable/")
    assert "Delete" in browser.post(here + "delete/").content.decode() and Webhook.objects.get().deleted_at is None
    browser.post(here + "delete/", {"confirmed": "1"})
    assert browser.get(here).status_code == 404
    actions = set(AuditEvent.objects.filter(action__startswith="webhook.").values_list("action", flat=True))
    assert actions == {f"webhook.{verb}" for verb in ("create", "change", "test", "resend", "rotate", "delete")}


def test_answers_of_receivers_are_shown_as_text(cast: Cast, make: Make, hooked: Receiver) -> None:
    hooked.usual = status(500, b"<script>alert(1)</script>")
    delivery = events.test_event(make())
    dispatch.run()
    assert "<script>alert(1)" not in page(cast.browser("alice"), f"/webhooks/deliveries/{delivery.pk}/")


def test_each_error_has_its_words(make: Make, cast: Cast) -> None:
    delivery = events.test_event(make())
    for error in ERRORS:
        Delivery.objects.filter(pk=delivery.pk).update(
            attempts=[{"at": "2027-01-01T00:00:00Z", "status": None, "ms": 1, "error": error, "answer": ""}])
        assert str(ERRORS[error]).replace("'", "&#x27;") in page(cast.browser("alice"), f"/webhooks/deliveries/{delivery.pk}/")


def test_the_log_fetches_itself_again(cast: Cast, make: Make) -> None:
    webhook, browser = make(), cast.browser("alice")
    events.test_event(webhook)
    assert "every 2s" in page(browser, f"/webhooks/{webhook.pk}/")
    dispatch.run()
    part = browser.get(f"/webhooks/{webhook.pk}/", HTTP_HX_REQUEST="true").content.decode()
    assert "every 15s" in part and "Send again" in part and "<html" not in part


@pytest.mark.filterwarnings("ignore")  # the client of the test is not asynchronous, the portal is
def test_the_log_as_a_file(cast: Cast, make: Make) -> None:
    webhook, browser = make(), cast.browser("alice")
    delivery = events.test_event(webhook)
    answer = browser.get(f"/webhooks/{webhook.pk}/", {"format": "csv"})
    assert answer["Content-Type"].startswith("text/csv") and str(delivery.pk) in b"".join(answer).decode()
