"""What is new is refused because of money, and the API says so beforehand: every write of the permission matrix is sent where
that holds, and whatever is refused must declare the error. A route that nobody declared is found by what it answers."""
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from billing import ledger
from billing.models import Account, BillingProfile, Budget, BudgetAlarm, Dunning
from portal.kernel.errors import classes_by_code
from portal.kernel.states import database_now
from portal.manual import chapter
from tests.portal.routes import Route, routes
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import BODIES, address, key, model_of

WRITES = [route for route in routes() if route.is_api and route.action and route.method != "GET"]
PRICED = {"instance-list.POST", "floating-ip-list.POST"}
IN_A_REGION = PRICED | {"vpc-list.POST", "subnet-list.POST", "port-list.POST", "security-group-list.POST",
                        "security-group-rule-list.POST"}


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker: Any) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        scene.cast.scenery["refused"] = scene.cast.api("alice")
        yield scene


def nobody_pays(scene: Scene) -> None:
    now = database_now()
    Dunning.objects.create(organization=scene.cast.organization, rung="blocked", cause="overdue", began_at=now, since=now)


def a_budget_is_reached(scene: Scene) -> None:
    now = database_now()
    block = {"percent": 80, "basis": "actual", "actions": ["block"]}
    budget = Budget.objects.create(organization=scene.cast.organization, name="All", amount=100, currency="CNY",
                                   thresholds=[block])
    BudgetAlarm.objects.create(budget=budget, since=now, until=now + timedelta(days=1), **block, amount=100, currency="CNY",
                               spent=81, forecast=99, at=now)


def nothing_is_left(scene: Scene) -> None:
    BillingProfile.objects.update_or_create(organization=scene.cast.organization, defaults={"is_prepaid": True})
    debt = {Account.RECEIVABLE: Decimal(1000), Account.REVENUE: Decimal(-1000)}
    ledger.book(scene.cast.organization, "debt", "invoice", debt, "CNY")


def the_project_is_archived(scene: Scene) -> None:
    type(scene.cast.project).objects.filter(pk=scene.cast.project.pk).update(archived_at=database_now())


SITUATIONS: list[tuple[Callable[[Scene], None], str, set[str]]] = [
    (nobody_pays, "unpaid", IN_A_REGION | {"instance-start.POST"}), (a_budget_is_reached, "budget_reached", PRICED),
    (nothing_is_left, "no_credit", PRICED | {"instance-start.POST"}),
    (the_project_is_archived, "project_archived", IN_A_REGION | {"ssh-key-list.POST", "service-user-list.POST"})]


def answered(scene: Scene, route: Route, happens: Callable[[Scene], None]) -> dict[str, Any]:
    """What the owner is told there; whatever was done is undone."""
    client = scene.cast.scenery["refused"]
    body = BODIES.get(key(route), lambda _scene: {})(scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    with transaction.atomic():
        happens(scene)
        response = getattr(client, route.method.lower())(address(route, pk), body, format="json")
        transaction.set_rollback(True)
    return response.json() if response.status_code >= 400 and response.content else {}


@pytest.mark.parametrize(("happens", "code", "least"), SITUATIONS, ids=[code for _happens, code, _least in SITUATIONS])
def test_whatever_is_refused_because_of_it_declares_so(scene: Scene, happens: Any, code: str, least: set[str]) -> None:
    refused = [route for route in WRITES if answered(scene, route, happens).get("code") == code]
    assert least <= {key(route) for route in refused}
    if code != "project_archived":  # what costs nothing is not refused by a budget, nor for want of credit
        assert not {key(route) for route in refused} & (IN_A_REGION - least)
    silent = [str(route) for route in refused
              if code not in {error.code for error in route.view.errors.get(route.action, ())}]
    assert silent == [], "name it in `errors` of the viewset (tenants.quotas.REFUSALS, billing.affording.REFUSALS)"


def test_a_budget_says_which_it_is(scene: Scene) -> None:
    create = next(route for route in WRITES if key(route) == "floating-ip-list.POST")
    told = answered(scene, create, a_budget_is_reached)
    assert (told["status"], told["budget"], told["amount"], told["spent"]) == (402, "All", "100.00", "81.00")


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_the_reference_of_errors_has_them_all() -> None:
    """In the guide, made of the classes."""
    page = chapter("api", "errors", "en").html
    for _happens, code, _least in SITUATIONS:
        assert code in classes_by_code() and code in page
