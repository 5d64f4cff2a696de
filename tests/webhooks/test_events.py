"""What is told to whom: with the change, once, to those who asked, and nothing secret."""
import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from portal.kernel import audit
from portal.kernel.declarations import registry
from portal.kernel.errors import HostFault
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations import Kind, Run, Step, engine, kinds, register, submit
from tenants import operations as tenants
from tenants.webhooks import operations
from tenants.webhooks.events import can_happen, is_pattern, matches
from tenants.webhooks.models import Delivery, Webhook
from tests.cast import Cast

Make = Callable[..., Webhook]
FAULTS: list[Exception] = []


def _do(_run: Run) -> None:
    if FAULTS:
        raise FAULTS[0]


for _name in ("hooktest.make", "hooktest.fall"):
    if _name not in kinds:
        register(Kind(name=_name, label=_name, steps=(Step("one", _do),), succeeded=lambda run: {},
                      failed=lambda run, error: None))


@pytest.fixture
def told(cast: Cast) -> Callable[..., Operation]:
    """An operation of Acme's project, carried out."""
    def carried_out(**columns: object) -> Operation:
        values = {"region": cast.region, "project": cast.project, "actor": cast.oscar} | columns
        operation = submit("hooktest.make", **values)
        engine.advance(operation.pk)
        operation.refresh_from_db()
        return operation
    FAULTS.clear()
    return carried_out


@pytest.mark.parametrize(("pattern", "event", "is_told"), [
    ("*", "instance.start.succeeded", True), ("instance.*", "instance.start.failed", True), ("instance.*", "instances.x", False),
    ("*.failed", "vpc.delete.failed", True), ("*.failed", "audit.x", False),
    ("instance.start.succeeded", "instance.start.succeeded", True),
    ("instance.start", "instance.start.succeeded", False), ("audit.*", "audit.apikey.create", True), ("audit.*", "auditx", False),
    ("a.b", "a-b", False), ("*start*", "instance.start.failed", True)])
def test_patterns(pattern: str, event: str, is_told: bool) -> None:
    assert is_pattern(pattern) and matches([pattern], event) is is_told


@pytest.mark.parametrize("text", [
    "", ".", "a..b", "a.", ".a", "A.b", "a b", "a-b", "***", "a" * 101, "a\n", "(.*)+", "a.b$", "[a]", "中"])
def test_what_is_no_pattern(text: str) -> None:
    assert not is_pattern(text)


def test_misspelt_ones_are_found_out() -> None:
    assert can_happen("instance.start.*") and can_happen("*") and can_happen("audit.whatever")
    assert not can_happen("instnace.*") and not can_happen("instance.start.finished")


def test_an_ended_operation_is_told(make: Make, told: Callable[..., Operation], cast: Cast) -> None:
    webhook = make(("hooktest.*",))
    operation = told()
    delivery = Delivery.objects.get()
    assert (delivery.webhook, delivery.event_id, delivery.type) == (webhook, operation.pk, "hooktest.make.succeeded")
    data = delivery.payload["data"]
    assert delivery.payload["type"] == delivery.type and delivery.payload["timestamp"]
    assert data["operation"]["url"].endswith(f"/api/v1/operations/{operation.pk}/")
    assert (data["state"], data["project"], data["organization"], data["actor"]) == (
        "succeeded", str(cast.project.pk), str(cast.organization.pk), str(cast.oscar.pk))


def test_a_failed_one_says_why_by_its_code(make: Make, told: Callable[..., Operation]) -> None:
    make(("*.failed",))
    FAULTS.append(HostFault("the secret name of a host"))
    told()
    [delivery] = Delivery.objects.all()
    assert (delivery.type, delivery.payload["data"]["error"]) == ("hooktest.make.failed", "host_fault")
    assert "secret name" not in json.dumps(delivery.payload)


def test_nothing_is_told_of_what_was_rolled_back(make: Make, told: Callable[..., Operation], cast: Cast,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox row is part of the change: a settlement that fails takes it back, the next one writes it, once."""
    make(("hooktest.*", "audit.*"))
    Delivery.objects.all().delete()

    class Torn(Exception):
        pass
    with pytest.raises(Torn), transaction.atomic():
        audit.record("hooktest.do", cast.project, actor=cast.alice)
        assert Delivery.objects.count() == 1
        raise Torn
    assert not Delivery.objects.exists()

    def tear(*_arguments: object, **_options: object) -> None:
        raise Torn
    with monkeypatch.context() as patched:
        patched.setattr(engine.log, "info", tear)  # the last thing that settling does
        told()
    operation = Operation.objects.get()
    assert (operation.state, operation.attempts) == ("running", 1) and not Delivery.objects.exists()
    Operation.objects.update(lease_until=None, run_after=operation.created_at)  # it would be tried again a little later
    assert engine.advance(operation.pk) and not engine.advance(operation.pk)
    assert [row.event_id for row in Delivery.objects.all()] == [operation.pk]


def test_what_people_do_is_told_without_contents(make: Make, cast: Cast) -> None:
    make(("audit.project.*",))
    tenants.change_project(cast.project, description="the plans of the king", actor=cast.alice)
    [delivery] = Delivery.objects.all()
    data = delivery.payload["data"]
    assert (delivery.type, data["action"], data["result"]) == ("audit.project.change", "project.change", "ok")
    assert data["target"]["id"] == str(cast.project.pk) and data["actor"] == str(cast.alice.pk)
    assert AuditEvent.objects.filter(pk=delivery.event_id).exists() and "king" not in json.dumps(delivery.payload)


def test_refused_attempts_are_told_as_such(make: Make, cast: Cast) -> None:
    make(("audit.*",))
    Delivery.objects.all().delete()
    answer = cast.api("vera").patch(f"/api/v1/projects/{cast.project.pk}/", {"description": "x"}, format="json")
    assert answer.status_code == 403
    assert [row.payload["data"]["result"] for row in Delivery.objects.all()] == ["refused"]


def test_each_hears_of_its_own_place(make: Make, told: Callable[..., Operation], cast: Cast) -> None:
    below = tenants.create_project(cast.organization, "below", actor=None, parent=cast.project)
    beside = tenants.create_project(cast.organization, "beside", actor=None)
    hooks = {"all": make(("hooktest.*",)), "web": make(("hooktest.*",), project=cast.project),
             "below": make(("hooktest.*",), project=below), "beside": make(("hooktest.*",), project=beside),
             "rival": make(("hooktest.*",), organization=cast.rival_organization, actor=cast.mallory)}

    def heard(**columns: object) -> set[str]:
        operation = told(**columns)
        found = set(Delivery.objects.filter(event_id=operation.pk).values_list("webhook_id", flat=True))
        return {name for name, hook in hooks.items() if hook.pk in found}
    assert heard() == {"all", "web"}
    assert heard(project=below) == {"all", "web", "below"}
    assert heard(project=beside) == {"all", "beside"}
    assert heard(project=cast.rival_project) == {"rival"}
    assert heard(project=None) == set()


def test_disabled_and_deleted_ones_hear_nothing(make: Make, told: Callable[..., Operation]) -> None:
    make(("hooktest.*",)), make(("hooktest.*",))
    first, second = Webhook.objects.all()
    Webhook.objects.filter(pk=first.pk).update(state="disabled")
    Webhook.objects.filter(pk=second.pk).update(deleted_at=second.created_at)
    told()
    assert not Delivery.objects.exists()
    Webhook.objects.filter(pk=first.pk).update(state="failing")
    told()
    assert Delivery.objects.count() == 1


def test_the_organizations_own_acts_go_to_the_whole_organization_only(make: Make, cast: Cast) -> None:
    wide, narrow = make(("audit.organization.*",)), make(("audit.organization.*",), project=cast.project)
    audit.record("organization.change", cast.organization, actor=cast.alice)
    assert [row.webhook_id for row in Delivery.objects.all()] == [wide.pk] != [narrow.pk]


def test_without_webhooks_an_act_costs_one_look_up(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as asked:
        audit.record("hooktest.do", cast.project, actor=cast.alice)
    assert len([one for one in asked if "webhooks_" in one["sql"]]) == 1
    with CaptureQueriesContext(connection) as asked:
        audit.record("hooktest.do", None, actor=cast.alice)
    assert not [one for one in asked if "webhooks_" in one["sql"]]


def test_the_database_holds_an_event_once_a_webhook(make: Make) -> None:
    webhook, event_id = make(), uuid4()
    rows = [Delivery(webhook=webhook, event_id=event_id, type="x", payload={}, next_at=webhook.created_at) for _twice in range(2)]
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.bulk_create(rows)


def test_a_deleted_organizations_webhooks_go_with_it(make: Make, cast: Cast) -> None:
    webhook = make()
    for hook in registry.organization_end_hooks:
        hook(cast.organization, cast.alice)
    webhook.refresh_from_db()
    assert webhook.deleted_at is not None and not webhook.secret


def test_a_deleted_projects_webhooks_go_with_it(make: Make, cast: Cast) -> None:
    gone, kept = make(project=cast.project), make()
    for hook in registry.project_end_hooks:
        if hook is operations.end_with_project:
            hook(cast.project, cast.alice)
    assert list(Webhook.objects.filter(deleted_at=None)) == [kept] and not Webhook.objects.get(pk=gone.pk).secret
