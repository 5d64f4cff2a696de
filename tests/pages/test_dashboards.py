"""The first page: what tenants and operators are shown, and that it costs as many statements for many as for few."""
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import Price, UsageInterval
from billing.money import Money
from compute.hosts.models import Endpoint, Host
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from portal.kernel import remembered
from portal.kernel.declarations import registry
from portal.kernel.models import Operation, Resource
from portal.kernel.operations import kinds
from portal.kernel.states import database_now
from portal.queries import tenant_board
from portal.queries.spending import spending
from portal.queries.taken import taken, total
from storage.models import Volume
from tenants import quotas
from tenants.models import Organization, Quota
from tenants.operations import create_api_key
from tests.network.networked import Networked
from tests.world import World, drain

HOUR = timedelta(hours=1)
MOST = 18  # with nothing remembered; else it is six less (tests/portal/test_page_statements.py)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    remembered.forget()


def text_of(client: Client, path: str = "/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def fail(world: World, target: Resource) -> None:
    """An operation on the target that failed just now."""
    now = database_now()
    Operation.objects.create(kind="instance.start", project=world.project, region=world.region, target=target, state="failed",
                             plan=kinds["instance.start"].plan, run_after=now, deadline=now, finished_at=now,
                             error={"code": "busy"})


def board_of(world: World, name: str = "alice"):
    user = world.people[name]
    user.__dict__.pop("grants", None)
    projects = list(type(world.project).objects.visible_to(user).select_related("organization"))
    return tenant_board(user, None, projects, regions=[world.region], requests=0, now=database_now())


# -- tenants --

def test_the_board_counts_what_quotas_count(networked: Networked, world: World) -> None:
    create_instance(world.order(count=2), actor=None)
    drain()
    has = total(taken([world.project.pk]))
    used = quotas.taken([world.project.pk], world.region, registry.dimensions)
    for name in registry.dimensions:
        assert has[name] == used[name, world.project.pk], name
    assert used["security_group_rules", world.project.pk] > 0
    assert (has["running"], has["running_vcpus"], has["running_memory_mib"]) == (2, 2, 512)
    assert has["instances"] == 2 and has["volume_gib"] == 2


@pytest.mark.parametrize(("limit", "words"), [(3, []), (2, ["near the limit"]), (1, ["limit reached"])])
def test_limits_that_come_near_are_told(world: World, browser, limit: int, words: list[str]) -> None:
    Quota.objects.create(organization=world.project.organization, region=world.region, dimension="volume_gib", limit=limit * 5)
    size_gib = 8 if limit == 2 else 5
    Volume.objects.create(project=world.project, region=world.region, name="v", state="available", size_gib=size_gib)
    page = text_of(browser("alice"))
    assert [word for word in ("near the limit", "limit reached") if word in page] == words


@pytest.mark.parametrize("limit", [2, 1])
@pytest.mark.parametrize("on", ["organization", "project"])
def test_limits_of_what_is_of_no_region_are_told(world: World, browser, on: str, limit: int) -> None:
    """API keys: those of the project, as quotas count them."""
    owner = {on: world.project.organization if on == "organization" else world.project}
    Quota.objects.create(**owner, region=None, dimension="api_keys", limit=limit)
    for project in (world.project, None):  # one of all of a person's projects counts against none
        create_api_key(world.people["alice"], name="ci", actor=world.people["alice"], project=project)
    lines = board_of(world).attention.limits
    assert [(one.dimension, one.region, one.used, one.limit) for one in lines] == (
        [("api_keys", None, 1, 1)] if limit == 1 else [])
    assert ("limit reached" in text_of(browser("alice"))) == (limit == 1)


@pytest.mark.parametrize("name", ["operations", "security_group_rules"])
def test_limits_of_operations_and_of_rules_are_told(networked: Networked, world: World, name: str) -> None:
    create_instance(world.order(), actor=None)  # under way, with a group that lets it be reached
    used = quotas.taken([world.project.pk], world.region, [name])[name, world.project.pk]
    assert used
    Quota.objects.create(project=world.project, region=world.region, dimension=name, limit=used)
    assert [(one.dimension, one.region, one.used) for one in board_of(world).attention.limits] == [(name, world.region, used)]


def test_a_plans_limits_of_what_is_of_no_region_are_told(world: World) -> None:
    Organization.objects.filter(pk=world.project.organization_id).update(plan=Organization.Plan.TRIAL)
    for _turn in range(9):
        create_api_key(world.people["alice"], name="ci", actor=world.people["alice"], project=world.project)
    assert ("api_keys", None, 9) in [(one.dimension, one.region, one.used) for one in board_of(world).attention.limits]


def test_who_sees_a_part_of_an_organization_is_not_told_of_its_limits(world: World, browser) -> None:
    Quota.objects.create(organization=world.project.organization, region=world.region, dimension="volumes", limit=1)
    Volume.objects.create(project=world.project, region=world.region, name="v", state="available", size_gib=1)
    assert "limit reached" in text_of(browser("alice"))
    assert "limit reached" not in text_of(browser("vera"))


def test_what_an_hour_costs_and_what_it_makes_of_the_month(world: World) -> None:
    now = database_now()
    Price.objects.update(valid=DateTimeTZRange(now - timedelta(days=40), None))
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    UsageInterval.objects.create(resource=world.image, project=world.project, region=world.region, meter="instance.running",
                                 sku="small", quantity=1, period=DateTimeTZRange(month, None))
    user = world.people["alice"]
    found = spending(user, None, now=month + 10 * HOUR)
    assert [*found.so_far, *found.hourly] == [Money(Decimal("3.6"), "CNY"), Money(Decimal("0.36"), "CNY")]
    assert [total.meter for total in found.dearest] == ["instance.running"]
    assert found.forecast == [Money(Decimal("0.36") * Decimal((found.month.end - month) / HOUR), "CNY")]
    later = found.until(month + 20 * HOUR)
    assert later == spending(user, None, now=month + 20 * HOUR).until(later.at) or later.so_far == (Money(Decimal("7.2"), "CNY"),)
    assert spending(world.people["mallory"], None, now=now).so_far == (Money(Decimal(0), "CNY"),)


def test_faults_and_failures_are_told_once(world: World, browser) -> None:
    fault = {"code": "no_capacity", "facts": {}}
    instance = Instance.objects.create(project=world.project, region=world.region, name="broken", state="error", fault=fault,
                                       type=world.type, vcpus=1, memory_mib=256, image=world.image)
    for target in (instance, world.image):
        fail(world, target)
    attention = board_of(world).attention
    assert [one.name for one in attention.instances] == ["broken"]
    assert [one.target_id for one in attention.operations] == [world.image.pk]
    page = text_of(browser("alice"))
    assert "Needs attention" in page and "No host has room for this now" in page
    assert "Needs attention" not in text_of(browser("mallory"))


def test_a_newcomer_is_led_to_the_first_instance(networked: Networked, browser) -> None:
    assert 'class="welcome-steps"' in text_of(browser("alice"))
    assert 'class="welcome-steps"' not in text_of(browser("vera"))  # who may make none
    create_instance(networked.world.order(), actor=None)
    assert 'class="welcome-steps"' not in text_of(browser("alice"))


# -- operators --

def test_operators_see_capacity_hosts_and_what_failed(world: World, browser) -> None:
    create_instance(world.order(), actor=None)
    drain()
    endpoint = Endpoint.objects.create(name="dead", driver="simulated", uri="simulated:///nowhere")
    dead = Host.objects.create(region=world.region, zone=world.zone, name="dead-1", endpoint=endpoint, state="ready",
                               health="unreachable", health_reason="No route", vcpus=4, memory_mib=4096)
    fail(world, world.image)
    page = text_of(browser("root"))
    assert reverse("hosts:detail", args=[dead.pk]) in page and "heat-bad" in page and "No route" in page
    assert "1 / 272" in page  # vCPUs claimed of 4 times 68
    assert "1 in error or out of reach" in page and "1 failed within a day" in page and "Acme" in page
    assert "heat-map" not in text_of(browser("alice"))
    assert "heat-map" not in text_of(browser("root"), f"/?project={world.project.pk}")


def queries_of(client: Client) -> int:
    client.get("/")
    remembered.forget()
    with CaptureQueriesContext(connection) as seen:
        assert client.get("/").status_code == 200
    return len(seen)


def test_many_cost_as_many_statements_as_few(world: World, browser) -> None:
    create_instance(world.order(), actor=None)
    drain()
    alice, root = browser("alice"), browser("root")
    root.get("/?project=all")
    _first = queries_of(alice), queries_of(root)  # with what then stands for some seconds in this process
    before = queries_of(alice), queries_of(root)
    for number in range(30):
        endpoint = Endpoint.objects.create(name=f"e{number}", driver="simulated", uri="simulated:///nowhere")
        Host.objects.create(region=world.region, zone=world.zone, name=f"h{number}", endpoint=endpoint, state="error",
                            vcpus=4, memory_mib=4096, fault={"code": "busy", "facts": {}})
        Instance.objects.create(project=world.project, region=world.region, name=f"i{number}", state="error", type=world.type,
                                vcpus=1, memory_mib=256, image=world.image, fault={"code": "busy"})
    assert (queries_of(alice), queries_of(root)) <= before
    assert max(before) <= MOST


# -- what is slow is remembered --

@pytest.fixture
def slow_is_kept(monkeypatch) -> None:
    monkeypatch.setattr(remembered, "SLOW_S", 0.05)


@pytest.mark.usefixtures("slow_is_kept")
def test_only_what_was_slow_is_remembered_and_for_as_long_as_it_was_slow() -> None:
    now, calls = [0.0], []

    def compute(takes: float) -> int:
        calls.append(takes)
        now[0] += takes
        return len(calls)

    def ask(key: str, takes: float) -> int:
        return remembered.remembered(key, lambda: compute(takes), clock=lambda: now[0])

    assert [ask("quick", 0.01) for _time in range(3)] == [1, 2, 3]
    assert [ask("slow", 0.2) for _time in range(3)] == [4, 4, 4]
    assert ask("another", 0.2) == 5
    now[0] += remembered.TIMES * 0.2
    assert ask("slow", 0.2) == 6
    assert ask("very slow", 100) == 7
    now[0] += remembered.LONGEST_S + 1
    assert ask("very slow", 100) == 8


def test_what_may_be_some_seconds_old_stands_for_them_though_it_is_quick() -> None:
    now = [0.0]

    def ask() -> float:
        return remembered.remembered("k", lambda: now[0], least_s=5, clock=lambda: now[0])

    assert ask() == 0
    now[0] = 4.9
    assert ask() == 0
    now[0] = 5.1
    assert ask() == 5.1


@pytest.mark.usefixtures("slow_is_kept")
def test_who_comes_while_it_is_renewed_has_the_old_value() -> None:
    now, had = [0.0], []

    def slow(value: str) -> str:
        now[0] += 1
        return value

    def ask(compute) -> str:
        return remembered.remembered("k", compute, clock=lambda: now[0])

    def renewing() -> str:
        had.append(ask(lambda: slow("never")))
        return slow("new")

    assert ask(lambda: slow("old")) == "old"
    now[0] += remembered.TIMES + 1
    assert (ask(renewing), had) == ("new", ["old"])
    assert ask(lambda: slow("never")) == "new"
