"""Admin finds every model, in few queries, however many rows there are."""
import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from unfold.admin import ModelAdmin

from compute.instances.models import Instance
from portal.admin.sidebar import GROUPS
from portal.kernel.admin.bases import COUNTED, CappedPaginator
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tenants.models import Quota
from tests.architecture.source import room_of
from tests.portal.admin.scene import page, staff
from tests.portal.scenery import Scene

# Models without a page of their own, and where their rows are seen.
ELSEWHERE = {
    "hosts.Provider": "a host's own columns", "network.SecurityGroupRule": "in its group",
    **dict.fromkeys(("monitoring.Sample", "monitoring.Minute", "monitoring.Hour", "monitoring.Day"), "on its instance's page"),
    "instances.LaunchTemplateVersion": "on its template's page, which operators see too",
    "instances.SnapshotVolume": "on its snapshot's page, which operators see too",
    "instances.ScheduleRun": "in the log on its schedule's page, which operators see too",
    "monitoring.Due": "a minute that waits to be summed up; /metrics counts them",
    "tenants.ConnectionDomain": "in its single sign-on",
    "billing.PriceTier": "in its price", "billing.Leg": "in its entry", "billing.CreditUse": "in its credit",
    "billing.CounterSample": "the latest in its counter",
    "tenants.OrganizationUserBinding": "in its organization", "tenants.OrganizationGroupBinding": "in its organization",
    "tenants.ProjectUserBinding": "in its project", "tenants.ProjectGroupBinding": "in its project",
    "kernel.PortalState": "one row, which says whether the portal drains; set by its command",
    "kernel.IdempotencyKey": "short-lived; its answers may hold secrets that are shown once",
}
REGISTERED = list(admin.site._registry)
OURS = [model for model in apps.get_models() if room_of(model.__module__)]
pytestmark = pytest.mark.django_db


def label(model: type[Model]) -> str:
    return model._meta.label


def test_every_model_of_ours_has_a_page_or_a_reason() -> None:
    assert len(OURS) > 30
    assert {model._meta.label for model in OURS if model not in admin.site._registry} - set(ELSEWHERE) == set()
    assert set(ELSEWHERE) - {model._meta.label for model in OURS} == set(), "a reason for a model that is no more"


def test_the_sidebar_leads_to_each_registered_model_once() -> None:
    named = [name for _title, models in GROUPS for name, _icon in models]
    assert sorted(named) == sorted(model._meta.label for model in REGISTERED)


@pytest.mark.parametrize("model", REGISTERED, ids=label)
def test_each_list_is_in_the_portals_dress_with_search_and_filters(model: type[Model]) -> None:
    registered = admin.site._registry[model]
    assert isinstance(registered, ModelAdmin) and registered.paginator is CappedPaginator
    assert registered.search_fields and not registered.show_full_result_count
    assert registered.list_filter or model._meta.label in {
        "auth.Group", "billing.Issuer", "billing.Series", "hosts.SshIdentity", "kernel.Hold", "storage.Attachment",
        "tenants.Organization"}


@pytest.mark.parametrize("model", REGISTERED, ids=label)
def test_a_list_asks_at_most_12_times_and_a_page_shows_its_row(scene: Scene, model: type[Model]) -> None:
    browser, row = scene.cast.browser("root"), scene.ours[model]
    with CaptureQueriesContext(connection) as asked:
        answer = browser.get(page(model))
    assert answer.status_code == 200 and len(asked) <= 12, [query["sql"] for query in asked]
    assert str(row.pk) in answer.content.decode()
    assert browser.get(page(model), {"q": "\N{SNOWMAN}' --"}).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        assert browser.get(page(model, "change", row.pk)).status_code == 200
    assert len(asked) <= 20, [query["sql"] for query in asked]


@pytest.mark.parametrize("model", [Instance, AuditEvent, Quota], ids=label)
def test_nonsense_in_the_address_breaks_no_list(scene: Scene, model: type[Model]) -> None:
    browser = scene.cast.browser("root")
    for nonsense in ({"project__id__exact": "x"}, {"host": "\0"}, {"o": "x"}, {"p": "x"}, {"q": "\0"}, {"state": "x" * 999}):
        assert browser.get(page(model), nonsense).status_code in (200, 302), nonsense


def test_deleted_rows_are_shown_when_asked_for_or_when_looked_up(undone: Scene) -> None:
    row, browser = undone.ours[Instance], undone.cast.browser("root")
    Instance.objects.filter(pk=row.pk).update(deleted_at=database_now())
    for query, is_shown in (({}, False), ({"deleted": "yes"}, True), ({"deleted": "any"}, True), ({"q": str(row.pk)}, True)):
        shown = {one.pk for one in browser.get(page(Instance), query).context["cl"].result_list}
        assert (row.pk in shown) is is_shown, query


def test_a_row_is_found_by_its_id_alone(scene: Scene) -> None:
    row = scene.ours[AuditEvent]
    found = scene.cast.browser("root").get(page(AuditEvent), {"q": f" {row.pk} "}).context["cl"]
    assert [event.pk for event in found.result_list] == [row.pk]


def test_no_more_is_counted_than_people_page_through(undone: Scene) -> None:
    with connection.cursor() as cursor:
        cursor.execute("""INSERT INTO kernel_auditevent (id, at, request_id, action, target_type, target_id, target_name, result)
                          SELECT gen_random_uuid(), now(), '', 'x', '', '', '', 'ok' FROM generate_series(1, %s)""",
                       [COUNTED + 50])
    with CaptureQueriesContext(connection) as asked:
        shown = undone.cast.browser("root").get(page(AuditEvent)).content.decode()
    counts = [query["sql"] for query in asked if "COUNT(" in query["sql"] and "kernel_auditevent" in query["sql"]]
    assert counts and all(f"LIMIT {COUNTED}" in sql for sql in counts)
    assert "search or filter to find others" in shown


def test_staff_sees_what_it_was_given_and_nothing_else(undone: Scene) -> None:
    clerk = staff(undone, "view_host")
    index = clerk.get("/admin/").content.decode()
    assert "/admin/hosts/host/" in index and "/admin/billing/price/" not in index and "/admin/kernel/operation/" not in index
    for model in REGISTERED:
        wanted = 200 if model._meta.label == "hosts.Host" else 403
        assert clerk.get(page(model)).status_code == wanted, model
        if wanted == 403:
            assert clerk.get(page(model, "change", undone.ours[model].pk)).status_code == 403, model
