"""Credit: what is left is what was granted less what was rated, and without any nothing new starts."""
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.urls import reverse

from billing import credit
from billing.models import Credit, Price, UsageInterval
from billing.operations import grant_credit
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.network.models import FloatingIp
from portal.kernel.errors import InvalidInput, PaymentRequired
from portal.kernel.models import Operation
from portal.kernel.states import database_now
from tenants.models import Organization
from tests.instances.test_quota_and_capacity_races import at_once
from tests.network.networked import API, Networked
from tests.world import World

HOUR = timedelta(hours=1)


def on_trial(world: World, amount: str | None = "10", *, expires_in: timedelta | None = None) -> Organization:
    """The world's organization lives on this credit, granted some hours ago."""
    organization = world.project.organization
    Organization.objects.filter(pk=organization.pk).update(plan="trial")
    organization.plan = "trial"
    if amount:
        then = database_now() - HOUR * 4
        grant_credit(organization, amount=Decimal(amount), reason="Trial", actor=None, now=then,
                     expires_at=expires_in and then + expires_in)
    return organization


def used(world: World, hours: int, *, before: timedelta = HOUR) -> None:
    """So many hours of a small instance, ended a while ago: 0.36 each."""
    end = database_now() - before
    UsageInterval.objects.create(resource=world.image, project=world.project, region=world.region, meter="instance.running",
                                 sku="small", quantity=1, period=DateTimeTZRange(end - hours * HOUR, end))


@pytest.fixture
def priced(world: World) -> World:
    """Prices that held for the last week, too."""
    since = DateTimeTZRange(database_now() - timedelta(days=7), None)
    Price.objects.update(valid=since)
    return world


def left(world: World) -> list[Decimal]:
    return [one.left.amount for one in credit.balances([world.project.organization], now=database_now())]


def test_what_is_left_is_granted_less_rated_since(priced: World) -> None:
    on_trial(priced)
    used(priced, 2)
    assert left(priced) == [Decimal("9.28")]


def test_what_was_used_before_the_grant_does_not_count(priced: World) -> None:
    on_trial(priced)
    used(priced, 2, before=HOUR * 5)
    assert left(priced) == [Decimal(10)]


def test_expired_credit_pays_for_nothing(priced: World) -> None:
    on_trial(priced, expires_in=HOUR)
    assert left(priced) == [Decimal(0)]
    with pytest.raises(PaymentRequired):
        create_instance(priced.order(), actor=None)


def test_grants_add_up_and_usage_is_taken_off_once(priced: World) -> None:
    organization = on_trial(priced)
    used(priced, 3, before=timedelta(0))
    grant_credit(organization, amount=Decimal(5), reason="More", actor=priced.people["root"])
    assert left(priced) == [Decimal(15) - Decimal("1.08")]


def test_others_usage_is_not_taken_off(priced: World) -> None:
    on_trial(priced)
    UsageInterval.objects.create(resource=priced.image, project=priced.rival_project, region=priced.region, quantity=1,
                                 meter="instance.running", sku="small",
                                 period=DateTimeTZRange(database_now() - HOUR, None))
    assert left(priced) == [Decimal(10)]


def test_a_credit_is_never_changed(priced: World) -> None:
    on_trial(priced)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Credit.objects.update(amount=1000)


def test_nonsense_is_refused_by_field(world: World) -> None:
    amounts = (Decimal(0), Decimal(-1), Decimal("0.001"), Decimal("NaN"), Decimal(10) ** 30)
    for field, value in (*(("amount", one) for one in amounts), *(("reason", one) for one in (" ", "x" * 201, "a\0b"))):
        with pytest.raises(InvalidInput) as refused:
            grant_credit(world.project.organization, **{"amount": Decimal(1), "reason": "ok", field: value}, actor=None)
        assert set(refused.value.errors) == {field}


# -- nothing starts without --

def test_without_credit_nothing_new_starts_and_the_answer_says_why(networked: Networked, priced: World) -> None:
    on_trial(priced, "1")
    used(priced, 3)  # 1.08
    body = networked.scope | {"name": "web", "type": str(priced.type.pk), "image": str(priced.image.pk)}
    refused = networked.post("instances", body)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["left"], problem["currency"]) == (402, "no_credit", "-0.08", "CNY")
    assert "Ask your operator" in problem["detail"]
    told = networked.post("instances", body, by="adam").json()  # runs one project: the organization's figures are not his
    assert told["code"] == "no_credit" and not {"left", "running", "hourly", "currency"} & set(told)
    assert told["detail"].startswith("Acme has too little credit left for this.") and "-0.08" not in str(told)
    assert networked.api("alice").post(f"{API}/instances/?dry_run=true", body, format="json").json()["allowed"] is False
    assert networked.post("floating-ips", networked.scope).status_code == 402
    assert not Instance.objects.exists() and not Operation.objects.filter(kind="instance.create").exists()
    assert not FloatingIp.objects.exists()


def test_the_page_says_it_too(priced: World, browser) -> None:
    on_trial(priced, None)
    client = browser("alice")
    form = client.get(reverse("instances:create")).context["form"]
    sent = {name: value for name, value in form.initial.items() if value not in (None, "", [])}
    answer = client.post(reverse("instances:create"), sent)
    assert answer.status_code == 402 and "of credit left; what runs costs" in answer.content.decode()
    assert "Credit used up" in client.get("/").content.decode()


def test_credit_for_less_than_the_first_hour_is_too_little(priced: World) -> None:
    on_trial(priced, "0.36")  # the instance alone costs as much, and then its volume
    with pytest.raises(PaymentRequired):
        create_instance(priced.order(), actor=None)
    grant_credit(priced.project.organization, amount=Decimal("0.01"), reason="More", actor=None)
    create_instance(priced.order(), actor=None)


def test_who_pays_otherwise_needs_no_credit(priced: World) -> None:
    create_instance(priced.order(), actor=None)
    assert Instance.objects.exists()


def test_who_sees_credit_by_rest(networked: Networked, priced: World) -> None:
    organization = on_trial(priced)
    used(priced, 1)
    for name, seen in (("alice", 1), ("vera", 1), ("root", 1), ("mallory", 0)):
        assert len(networked.listed("credits", by=name)) == seen
        assert len(networked.get("credits/left", by=name).json()["results"]) == seen
    [balance] = networked.get("credits/left", by="vera").json()["results"]
    assert balance == {"organization": str(organization.pk), "granted": {"amount": "10.00", "currency": "CNY"},
                       "used": {"amount": "0.36", "currency": "CNY"}, "left": {"amount": "9.64", "currency": "CNY"},
                       "expires_at": None, "scoped": []}


def test_operators_grant_it_in_admin(world: World, browser) -> None:
    organization, client = world.project.organization, browser("root")
    sent = {"organization": str(organization.pk), "amount": "12.50", "reason": "Sorry", "expires_at_0": "", "expires_at_1": ""}
    assert client.post(reverse("admin:billing_credit_add"), sent | {"amount": "-1"}).status_code == 200
    assert client.post(reverse("admin:billing_credit_add"), sent).status_code == 302
    granted = Credit.objects.get()
    assert (granted.amount, granted.granted_by.username, granted.reason) == (Decimal("12.50"), "root", "Sorry")
    page = client.get(reverse("admin:billing_credit_change", args=[granted.pk])).content.decode()
    assert 'name="amount"' not in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("amount", "outcomes"), [(None, {"no_credit": 6}), ("10", {"done": 4, "quota_exceeded": 2})])
def test_many_at_once_are_asked_in_turn(transactional_db: None, world: World, amount: str | None,
                                        outcomes: dict[str, int]) -> None:
    on_trial(world, amount)
    assert at_once(6, lambda number: create_instance(world.order(name=f"i{number}"), actor=None)) == outcomes
    assert Instance.objects.count() == outcomes.get("done", 0)
