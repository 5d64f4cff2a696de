"""Every list asks the database as often for 200 rows as for one, by REST and as a page."""
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import Price
from compute.hosts.models import Endpoint, Host
from compute.instances.models import InstanceType
from compute.network.models import AddressPool, Fabric
from portal.kernel import remembered
from portal.kernel.models import Region, Zone
from portal.kernel.rest.rights import STAFF
from storage.models import Pool
from tenants import operations
from tenants.models import User
from tenants.roles import bind
from tests.portal.routes import Route, routes
from tests.portal.scenery import ONCE_A_MINUTE, Scene, make_rows, standing_scene

MANY = 200
# Each of these takes a binding and a project of its own, and 40 show the same as 200.
SOME = 40
LISTS = [route for route in routes() if route.method == "GET" and not route.takes_an_id]
# Lists that are declarations, not rows.
FIXED = {"role-list", "me", "me-factors", "me-notification-preferences", "instances:create", "operations:button",
         "vpcs:create", "security_groups:create", "floating_ips:create", "volumes:create", "cli:file", "webhooks:create",
         "budgets:create",
         "exports:create", "export_schedules:create", "instance_schedules:create",
         # Nothing is asked for, or nothing of the scene belongs there: tests/pages/test_frame.py counts their statements.
         "search", "api-search", "ui", "outbox:list", "credit-left", "revenue-months", "revenue-unbilled",
         "revenue-preview", "revenue-to-close", "balance:simulated", "cost-anomalies", "cost-idle",
         "invitations:accept", "notifications:list", "notifications:drawer", "api-notifications"}
Counts = dict[str, tuple[int, int]]


def grow(scene: Scene) -> None:
    """199 more of everything in our project, and of the catalogue."""
    cast, shared = scene.cast, scene.ours
    for number in range(1, MANY):
        make_rows(cast, cast.project, cast.alice, shared, number=number)
    Region.objects.bulk_create([Region(slug=f"r{number}", name=f"R{number}") for number in range(1, MANY)])
    Zone.objects.bulk_create([Zone(region=cast.region, slug=f"z{number}", name=f"Z{number}")
                              for number in range(1, MANY)])
    InstanceType.objects.bulk_create([InstanceType(slug=f"t{number}", name="T", vcpus=1, memory_mib=1)
                                      for number in range(1, MANY)])
    price = shared[Price]
    Price.objects.bulk_create([Price(book=price.book, region=cast.region, meter="m", sku=f"s{number}", price_per_hour=1,
                                     valid=price.valid) for number in range(1, MANY)])
    for number in range(1, MANY):
        endpoint = Endpoint.objects.create(name=f"e{number}", driver="simulated", uri="simulated:///nowhere")
        host = Host.objects.create(region=cast.region, zone=cast.zone, name=f"h{number}", endpoint=endpoint)
        Pool.objects.create(region=cast.region, host=host, path="/nowhere")
    for number in range(1, SOME):
        organization = operations.create_organization(f"O{number}", owner=cast.alice, actor=None)
        operations.create_project(organization, "p", actor=None)
        bind(User.objects.create(username=f"u{number}"), "viewer", cast.project)
    # Last: every region with a fabric gives every new project a network.
    for number, region in enumerate(Region.objects.exclude(pk=cast.region.pk)):
        Fabric.objects.create(region=region, driver="simulated", uri=f"simulated:memory/{number}")
        AddressPool.objects.create(region=region, slug="public", name=f"P{number}", cidr=IPv4Network("198.18.0.0/24"),
                                   gateway="198.18.0.1", first="198.18.0.10", last="198.18.0.20")


def measure(scene: Scene) -> dict[str, tuple[int, int]]:
    """Route → how many queries and how long the answer."""
    found = {}
    for route in LISTS:
        who = "root" if route.permission == STAFF else "alice"
        client = scene.cast.api(who) if route.is_api else scene.cast.browser(who)
        query = {"limit": 500} if route.is_api and route.action == "list" and route.name != "role-list" else {}
        client.get(reverse(route.name), query)  # what is cached for ever is cached now
        with CaptureQueriesContext(connection) as captured:
            response = client.get(reverse(route.name), query)
        asked = [one for one in captured if not one["sql"].startswith(ONCE_A_MINUTE)]
        found[str(route)] = (len(asked), len(response.content))
    return found


@pytest.fixture(scope="module", autouse=True)
def the_clock_stands() -> Iterator[None]:
    """What is kept for some seconds is kept for both counts, between which are minutes; nothing is kept because it took long."""
    remembered.forget()
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(remembered.remembered.__kwdefaults__, "clock", lambda: 0.0)
        yield
    remembered.forget()


@pytest.fixture(scope="module")
def counts(django_db_setup: None, django_db_blocker) -> Iterator[tuple[Counts, Counts]]:
    with standing_scene(django_db_blocker) as scene:
        before = measure(scene)
        grow(scene)
        yield before, measure(scene)


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_there_are_lists_to_measure() -> None:
    assert len([route for route in LISTS if route.is_api]) > 15
    assert len([route for route in LISTS if not route.is_api]) > 6


@pytest.mark.parametrize("route", [route for route in LISTS if route.name not in FIXED], ids=str)
def test_200_rows_cost_as_many_queries_as_one(counts: tuple[Counts, Counts], route: Route) -> None:
    before, after = counts[0][str(route)], counts[1][str(route)]
    assert after[1] > before[1], "nothing more is shown: this list does not hold what was grown"
    assert after[0] <= before[0], "queries grow with rows"
