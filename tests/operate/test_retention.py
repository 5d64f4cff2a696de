"""Retention: what is over and old goes, in batches; what somebody still points at or pays for stays."""
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from compute.hosts.models import Discovered, Endpoint, Host, Verdict
from portal.kernel import sealing
from portal.kernel.models import AuditEvent, Operation, Resource
from portal.upkeep import retention
from portal.upkeep.retention import RULES, prune
from tenants import operations as tenants
from tenants.models import ApiKey
from tenants.models import BrowserSession as Session
from tenants.webhooks.models import Delivery, Webhook
from tests.audit.rewriting import rewriting
from tests.cast import Cast, make_cast

pytestmark = pytest.mark.django_db


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def operation(cast: Cast) -> Callable[..., Operation]:
    def make(*, finished: float | None = None, **columns: object) -> Operation:
        ended = {"state": "succeeded", "finished_at": ago(finished)} if finished else {}
        return Operation.objects.create(kind="test.any", region=cast.region, project=cast.project, run_after=ago(1000),
                                        deadline=ago(1000), **ended | columns)
    return make


def test_finished_operations_go_and_live_and_young_ones_stay(operation: Callable[..., Operation]) -> None:
    old, young, live = operation(finished=401), operation(finished=399), operation()
    assert prune()["operations"] == 1
    assert set(Operation.objects.all()) == {young, live} and not Operation.objects.filter(pk=old.pk).exists()


def test_the_audit_trail_outlives_the_operations_that_it_names(cast: Cast, operation: Callable[..., Operation]) -> None:
    old = operation(finished=500)
    event = AuditEvent.objects.create(action="instance.start", project=cast.project, operation=old)
    with rewriting():
        AuditEvent.objects.update(at=ago(5000))
    prune()
    event.refresh_from_db()
    assert event.operation_id == old.pk and not Operation.objects.filter(pk=old.pk).exists()


def test_audit_goes_only_when_a_setting_says_so(cast: Cast, settings) -> None:
    AuditEvent.objects.create(action="a", project=cast.project)
    with rewriting():
        AuditEvent.objects.update(at=ago(5000))
    sealing.seal()
    assert "audit" not in prune()
    settings.RETENTION = settings.RETENTION | {"audit_days": 3650}
    assert prune()["audit"] >= 1 and not AuditEvent.objects.exists()


def test_a_parent_stays_while_a_child_of_it_does(operation: Callable[..., Operation]) -> None:
    parent = operation(finished=500)
    operation(finished=10, parent=parent)
    both = operation(finished=500)
    operation(finished=450, parent=both)
    assert prune()["operations"] == 2
    assert Operation.objects.filter(pk=parent.pk).exists() and not Operation.objects.filter(pk=both.pk).exists()


def test_many_rows_go_in_batches(operation: Callable[..., Operation], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for _number in range(7):
        operation(finished=500)
    assert prune()["operations"] == 7


def test_a_living_instances_placement_stays_known(cast: Cast) -> None:
    endpoint = Endpoint.objects.create(name="e", driver="simulated", uri="simulated:///nowhere")
    host = Host.objects.create(region=cast.region, zone=cast.zone, name="h", endpoint=endpoint)
    for name, gone in (("live", None), ("gone", ago(1))):
        consumer = Resource.objects.create(kind="instance", project=cast.project, region=cast.region, name=name, deleted_at=gone)
        Verdict.objects.create(consumer=consumer, host=host, is_chosen=True)
        Verdict.objects.create(consumer=consumer, host=host, is_chosen=False)
    Discovered.objects.create(host=host, kind="domain", key="x", name="x", last_seen_at=ago(100))
    Discovered.objects.create(host=host, kind="domain", key="y", name="y", last_seen_at=ago(1))
    Verdict.objects.update(at=ago(100))
    prune()
    assert [(row.consumer.name, row.is_chosen) for row in Verdict.objects.all()] == [("live", True)]
    assert [row.key for row in Discovered.objects.all()] == ["y"]


def test_usable_keys_and_sessions_stay(cast: Cast) -> None:
    for name, columns in (("good", {}), ("expires later", {"expires_at": ago(-1)}), ("revoked lately", {"revoked_at": ago(100)}),
                          ("revoked", {"revoked_at": ago(500)}), ("expired", {"expires_at": ago(500)})):
        key, _secret = tenants.create_api_key(cast.alice, name=name, actor=cast.alice)
        ApiKey.objects.filter(pk=key.pk).update(**columns)
    Session.objects.create(session_key="old", session_data="", expire_date=ago(2))
    Session.objects.create(session_key="new", session_data="", expire_date=ago(-2))
    prune()
    assert set(ApiKey.objects.values_list("name", flat=True)) == {"good", "expires later", "revoked lately"}
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]


# What has a file that expires, mails, what a switch showed, and samples without which every hour's usage is the same.
NOT_MONEY = {"billing.Export", "billing.InvoiceMail", "network.TrafficCount", "billing.CounterSample",
             "instances.ScheduleRun"}


def test_no_rule_touches_what_money_or_tenants_are_made_of() -> None:
    models = {rule.rows(ago(1)).model._meta.label for rule in RULES}
    assert len(models) == len(RULES)
    assert not {label for label in models - NOT_MONEY
                if label.startswith(("billing.", "storage.", "network.", "instances."))}
    assert not models & {"kernel.Resource", "tenants.Organization", "tenants.Project", "tenants.User"}


def test_a_dry_run_counts_and_keeps(operation: Callable[..., Operation]) -> None:
    operation(finished=500)
    out = StringIO()
    call_command("prune", "--dry-run", stdout=out)
    assert "operations: 1 older than 400 days" in out.getvalue() and "audit: kept for ever" in out.getvalue()
    assert Operation.objects.count() == 1


def test_deliveries_go_after_a_month_and_deleted_webhooks_after_a_day(cast: Cast) -> None:
    made = {"organization": cast.organization, "name": "x", "url": "https://hooks.example.org/", "secret": "whsec_x"}
    kept, gone = Webhook.objects.create(**made), Webhook.objects.create(**made, deleted_at=ago(2))
    for webhook in (kept, gone):
        for days in (31, 29, 0):
            ended = {"state": "failed", "finished_at": ago(days)} if days else {}
            Delivery.objects.create(webhook=webhook, event_id=uuid4(), type="x", payload={}, next_at=ago(40), **ended)
    counted = prune()
    assert counted["deliveries"] == 2 and counted["webhooks"] == 1 + 2  # with the two that were left of it
    assert list(Webhook.objects.all()) == [kept]
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["failed", "pending"]
