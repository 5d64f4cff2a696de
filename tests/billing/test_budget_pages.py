"""Budgets in the browser and by REST: who sees and changes which, what is shown, what is refused beside its field."""
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import budgets
from billing.models import Budget
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tenants.operations import create_project
from tenants.roles import bind
from tests.billing.lamps import BIG, Shop
from tests.billing.months import HOUR

SENT = {"name": "Team", "amount": "100", "currency": "CNY", "percent_0": "80", "basis_0": "actual", "notify_0": "on"}
REST = "/api/v1/budgets/"
THRESHOLDS = [{"percent": 80, "basis": "actual", "actions": ["notify"]}]


@pytest.fixture
def team(shop: Shop) -> Budget:
    """Of the whole organization, reached in the month that it really is."""
    now = database_now()
    made = budgets.create_budget(shop.cast.organization, actor=shop.cast.alice, name="Team", amount=Decimal("0.02"),
                                 currency="CNY", thresholds=[{"percent": 50, "basis": "actual", "actions": ["notify", "block"]}])
    shop.burnt(shop.lamp(), max(now - HOUR, budgets.month_of(now).start - HOUR), None, reading=BIG)
    budgets.watch(now=now + timedelta(minutes=1))
    return made


def test_a_budget_is_made_changed_looked_at_and_deleted(shop: Shop) -> None:
    browser = shop.cast.browser("alice")
    answer = browser.post(reverse("budgets:create"), SENT | {"where": str(shop.cast.organization.pk)})
    made = Budget.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, reverse("budgets:detail", args=[made.pk]))
    assert (made.project, made.amount, made.thresholds) == (None, 100, THRESHOLDS)
    edit = reverse("budgets:edit", args=[made.pk])
    assert browser.get(edit).context["form"]["percent_0"].value() == 80
    browser.post(edit, SENT | {"amount": "200", "percent_1": "100", "basis_1": "forecast", "block_1": "on", "stop_1": "on"})
    made.refresh_from_db()
    assert (made.amount, made.thresholds[1]) == (200, {"percent": 100, "basis": "forecast", "actions": ["block", "stop"]})
    assert "Team" in browser.get(reverse("budgets:list")).content.decode()
    asked = browser.post(reverse("budgets:delete", args=[made.pk]))
    assert "confirmed" in asked.content.decode()
    browser.post(reverse("budgets:delete", args=[made.pk]), {"confirmed": "1"})
    assert browser.get(reverse("budgets:detail", args=[made.pk])).status_code == 404
    assert list(AuditEvent.objects.filter(action__startswith="budget.", result="ok").order_by("at").values_list(
        "action", flat=True)) == ["budget.create", "budget.change", "budget.delete"]


def test_what_was_reached_is_shown_with_what_is_done(shop: Shop, team: Budget) -> None:
    text = shop.cast.browser("alice").get(reverse("budgets:detail", args=[team.pk])).content.decode()
    assert "50 % spent" in text and "reached" in text and "refuse what is new" in text
    row = shop.cast.browser("alice").get(reverse("budgets:list")).content.decode()
    assert "bar-bad" in row
    assert "text/csv" in shop.cast.browser("alice").get(reverse("budgets:list"), {"format": "csv"})["Content-Type"]


BAD = [({"amount": "-1"}, "amount"), ({"amount": "9" * 30}, "amount"), ({"amount": ""}, "amount"),
       ({"currency": "XXX"}, "currency"), ({"percent_0": "0"}, "percent_0"), ({"percent_0": "1001"}, "percent_0"),
       ({"name": ""}, "name"),
       ({"where": "0"}, "where"), ({"percent_1": "80", "basis_1": "actual", "stop_1": "on"}, "__all__"),
       ({"tag_key": "a:b"}, "tag_key"), ({"percent_0": ""}, "__all__"), ({"notify_0": ""}, "__all__")]


@pytest.mark.parametrize(("change", "field"), BAD)
def test_what_is_wrong_is_said_beside_its_field(shop: Shop, change: dict[str, str], field: str) -> None:
    sent = SENT | {"where": str(shop.cast.organization.pk)} | change
    answer = shop.cast.browser("alice").post(reverse("budgets:create"), {name: value for name, value in sent.items() if value})
    assert answer.status_code == 400
    assert list(answer.context["form"].errors) == [field]
    assert Budget.objects.count() == 0


def test_members_of_a_project_see_its_budgets_and_its_administrators_change_them(shop: Shop, team: Budget) -> None:
    own = budgets.create_budget(shop.cast.organization, actor=shop.cast.alice, name="Web", amount=Decimal(5), currency="CNY",
                                project=shop.cast.project)
    for name, seen in (("alice", {"Team", "Web"}), ("adam", {"Web"}), ("vera", {"Web"}), ("mallory", set())):
        listed = shop.cast.api(name).get(REST).json()
        assert {one["name"] for one in listed["results"]} == seen, name
        assert shop.cast.browser(name).get(reverse("budgets:detail", args=[team.pk])).status_code == (
            200 if "Team" in seen else 404)
    change = {name: shop.cast.api(name).patch(f"{REST}{own.pk}/", {"amount": "7"}, format="json").status_code
              for name in ("adam", "vera", "oscar", "mallory")}
    assert change == {"adam": 200, "vera": 403, "oscar": 403, "mallory": 404}
    of_all = {"name": "All", "amount": "7", "currency": "CNY", "organization": str(shop.cast.organization.pk)}
    assert shop.cast.api("adam").post(REST, of_all, format="json").status_code == 403
    assert shop.cast.api("mallory").post(REST, of_all, format="json").status_code == 404


def test_by_rest(shop: Shop) -> None:
    api = shop.cast.api("alice")
    made = api.post(REST, {"name": "Red", "organization": str(shop.cast.organization.pk), "tag_key": "team", "tag_value": "red",
                           "amount": "100.00", "currency": "CNY", "thresholds": THRESHOLDS}, format="json")
    assert made.status_code == 201, made.json()
    body = made.json()
    assert (body["amount"], body["thresholds"], body["tag_key"]) == ({"amount": "100.00", "currency": "CNY"}, THRESHOLDS, "team")
    address = f"{REST}{body['id']}/"
    tag = api.get(address)["ETag"]
    assert api.patch(address, {"amount": "50.00"}, format="json", HTTP_IF_MATCH=tag).status_code == 200
    assert api.patch(address, {"amount": "60.00"}, format="json", HTTP_IF_MATCH=tag).status_code == 412
    assert api.get(f"{address}alarms/").json()["results"] == []
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


def test_counting_makes_no_change_stale(shop: Shop, team: Budget) -> None:
    api = shop.cast.api("alice")
    tag = api.get(f"{REST}{team.pk}/")["ETag"]
    budgets.watch(now=database_now() + timedelta(hours=1))
    assert api.patch(f"{REST}{team.pk}/", {"name": "New"}, format="json", HTTP_IF_MATCH=tag).status_code == 200
    (alarm,) = api.get(f"{REST}{team.pk}/alarms/").json()["results"]
    assert (alarm["percent"], alarm["basis"], alarm["actions"], alarm["amount"]) == (
        50, "actual", ["notify", "block"], {"amount": "0.02", "currency": "CNY"})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"amount": "-1"}, "amount"), ({"amount": "1" * 30}, "amount"), ({"amount": "NaN"}, "amount"), ({"amount": [1]}, "amount"),
    ({"currency": "DOG"}, "currency"), ({"thresholds": [{"percent": 0, "basis": "actual", "actions": ["notify"]}]}, "thresholds"),
    ({"thresholds": THRESHOLDS * 2}, "thresholds"), ({"thresholds": "x"}, "thresholds"), ({"tag_value": "x"}, "tag"),
    ({"unknown": 1}, "unknown")]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_rest_names_what_is_wrong(shop: Shop, change: dict[str, Any], field: str) -> None:
    sent = {"name": "Team", "organization": str(shop.cast.organization.pk), "amount": "1", "currency": "CNY"} | change
    answer = shop.cast.api("alice").post(REST, sent, format="json")
    assert answer.status_code == 400, answer.json()
    assert any(name.startswith(field) for name in answer.json()["errors"]), answer.json()


def test_a_foreign_project_is_as_absent_as_any(shop: Shop) -> None:
    sent = {"name": "Team", "project": str(shop.cast.rival_project.pk), "amount": "1", "currency": "CNY"}
    assert shop.cast.api("alice").post(REST, sent, format="json").status_code == 404
    both = sent | {"project": str(shop.cast.project.pk), "organization": str(shop.cast.rival_organization.pk)}
    assert shop.cast.api("alice").post(REST, both, format="json").status_code == 404


# -- who may have things stopped --

STOPS = [{"percent": 100, "basis": "actual", "actions": ["notify", "stop"]}]


@pytest.fixture
def billing(shop: Shop) -> Shop:
    """Vera looks after the bills of the whole organization: she manages its budgets, and stops nobody's instances."""
    bind(shop.cast.vera, "billing", shop.cast.organization)
    return shop


def test_whoever_may_not_stop_instances_has_none_stopped_by_a_budget(billing: Shop) -> None:
    api, of_all = billing.cast.api("vera"), {"name": "All", "amount": "7", "currency": "CNY",
                                             "organization": str(billing.cast.organization.pk)}
    refused = api.post(REST, of_all | {"thresholds": STOPS}, format="json")
    assert (refused.status_code, refused.json()["permission"]) == (403, "instance.operate")
    refused = api.post(REST, of_all | {"thresholds": STOPS, "tag_key": "team", "tag_value": "red"}, format="json")
    assert refused.status_code == 403 and Budget.objects.count() == 0
    address = f"{REST}{api.post(REST, of_all | {'thresholds': THRESHOLDS}, format='json').json()['id']}/"
    assert api.patch(address, {"thresholds": STOPS}, format="json").status_code == 403
    owner = billing.cast.api("alice")
    assert owner.patch(address, {"thresholds": STOPS}, format="json").status_code == 200
    assert api.patch(address, {"amount": "1"}, format="json").status_code == 403  # sooner is to stop, too
    assert api.patch(address, {"name": "Everything"}, format="json").status_code == 200
    assert api.patch(address, {"thresholds": THRESHOLDS, "amount": "1"}, format="json").status_code == 200
    refusals = AuditEvent.objects.filter(action="instance.operate", result="refused")
    assert {one.actor for one in refusals} == {billing.cast.vera}


def test_in_a_project_its_administrator_may(shop: Shop) -> None:
    of_project = {"name": "Web", "project": str(shop.cast.project.pk), "amount": "7", "currency": "CNY"}
    made = shop.cast.api("adam").post(REST, of_project | {"thresholds": STOPS}, format="json")
    assert made.status_code == 201, made.json()


def test_pages_grey_it_out_with_the_reason(billing: Shop) -> None:
    browser, reason = billing.cast.browser("vera"), "Your role does not include “instance.operate” here."
    page = browser.get(reverse("budgets:create"))
    assert page.context["form"].fields["stop_0"].disabled and reason in page.content.decode()
    sent = SENT | {"where": str(billing.cast.organization.pk), "stop_0": "on"}
    browser.post(reverse("budgets:create"), sent)
    assert Budget.objects.get().thresholds == THRESHOLDS  # what is greyed out is not sent
    Budget.objects.update(thresholds=STOPS)
    edit = reverse("budgets:edit", args=[Budget.objects.get().pk])
    form = browser.get(edit).context["form"]
    assert not form.fields["stop_0"].disabled and form.fields["stop_1"].disabled  # it may be given up
    kept = SENT | {"percent_0": "100", "stop_0": "on"}
    assert browser.post(edit, kept | {"amount": "1"}).status_code == 403
    assert browser.post(edit, kept | {"name": "Other"}).status_code == 302
    assert browser.post(edit, SENT | {"amount": "1"}).status_code == 302
    owner = billing.cast.browser("alice").get(reverse("budgets:create"))
    assert not owner.context["form"].fields["stop_0"].disabled and reason not in owner.content.decode()


# -- where a new one may be of --

def places(page: Any) -> list[str]:
    return [str(label) for _value, label in page.context["form"].fields["where"].widget.choices]


def test_operators_choose_among_organizations_or_within_one(shop: Shop) -> None:
    """However many projects there are: those of one organization are listed, in as many statements."""
    for number in range(30):
        create_project(shop.cast.organization, f"p{number}", actor=None)
    browser = shop.cast.browser("root")
    assert places(browser.get(reverse("budgets:create"))) == ["Acme, all projects", "Rival, all projects"]
    with CaptureQueriesContext(connection) as asked:
        page = browser.get(reverse("budgets:create"), {"project": str(shop.cast.rival_project.pk)})
    assert places(page) == ["Rival, all projects", "Rival / own"]
    assert page.context["form"]["where"].value() == str(shop.cast.rival_project.pk)
    assert len([one for one in asked if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]) <= 12
    with CaptureQueriesContext(connection) as asked:
        page = browser.get(reverse("budgets:create"), {"project": str(shop.cast.project.pk)})
    assert len(places(page)) == 32
    assert len([one for one in asked if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]) <= 12


def test_where_the_user_may_not_is_refused_or_absent(shop: Shop) -> None:
    browser, sent = shop.cast.browser("adam"), SENT | {"where": str(shop.cast.organization.pk)}
    assert places(browser.get(reverse("budgets:create"))) == ["Acme / web"]
    assert browser.post(reverse("budgets:create"), sent).status_code == 403
    for foreign in (shop.cast.rival_project, shop.cast.rival_organization):
        answer = browser.post(reverse("budgets:create"), sent | {"where": str(foreign.pk)})
        assert (answer.status_code, list(answer.context["form"].errors)) == (400, ["where"])
    assert Budget.objects.count() == 0
