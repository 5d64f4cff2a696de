"""A page of 100 instances by REST: of 200, of 100,000, and deep among those, beside PostgreSQL's own JSON of the same rows."""
import time

from tests.bench import databases
from tests.bench.figures import Figure, at_most, beside, duration, ratio

FEW, MANY, ROUNDS, PAGE = 200, 100_000, 9, 100
PATH = "/api/v1/instances/"
PAGES_DEEP = 150


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0) as few, databases.database(1) as many:
        clients = {few: _fill(few, FEW), many: _fill(many, MANY)}
        databases.use(many)
        deep = _walk(clients[many])
        asked = {"first of few": (few, f"{PATH}?limit={PAGE}"), "first of many": (many, f"{PATH}?limit={PAGE}"),
                 "deep of many": (many, deep)}
        rounds = [{name: _ask(clients[where], where, path) for name, (where, path) in asked.items()} | {
            "json_agg": (_json_agg(many), 1)} for _round in range(ROUNDS)]
    times = {name: [found[name][0] for found in rounds] for name in rounds[0]}
    queries = {name: rounds[0][name][1] for name in asked}
    return [
        at_most(f"lists: page of {PAGE} of {MANY:,} rows, whole answer", ratio(times["first of many"], times["json_agg"]), 5,
                compared=f"PostgreSQL's json_agg of them ({duration(times['json_agg'])})",
                note=f" ({duration(times['first of many'])})"),
        at_most(f"lists: page {PAGES_DEEP} of {MANY:,} rows", ratio(times["deep of many"], times["first of many"]), 1.2,
                compared=f"page 1 ({duration(times['first of many'])})", note=f" ({duration(times['deep of many'])})"),
        beside(f"lists: page of {PAGE} of {MANY:,} rows", times["first of many"], times["first of few"], f"of {FEW} rows"),
        Figure(name="lists: queries", value=" / ".join(str(count) for count in queries.values()),
               compared=" / ".join(queries), goal="equal", met=len(set(queries.values())) == 1),
    ]


def _fill(name: str, count: int):
    """A REST client of somebody who sees so many instances."""
    from django.conf import settings
    from rest_framework.test import APIClient

    from compute.instances.models import Instance
    from tests.world import make_world

    databases.use(name)
    world = make_world(settings.STATE_DIR / name)
    template = Instance.objects.create(
        project=world.project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type,
        vcpus=1, memory_mib=256, image=world.image, state="running", observed_state="running", vnc_password="secret!!",
        tags={"role": "web"})
    databases.copy_resource(template, count - 1)
    databases.analyze()
    client = APIClient()
    client.force_authenticate(world.people["alice"])
    return client


def _walk(client) -> str:
    """The address of a page far down, found as a client finds it."""
    path = f"{PATH}?limit={PAGE}"
    for _page in range(PAGES_DEEP - 1):
        path = client.get(path).json()["next"]
    return path


def _json_agg(name: str) -> float:
    """Seconds that PostgreSQL needs to hand over the same page as JSON, made of the same two queries."""
    from django.db import connection

    from compute.instances.api import InstanceViewSet
    from compute.instances.networks import cards_of
    from portal.kernel.rest.projection import projection_of
    from tenants.models import User

    databases.use(name)
    rows = InstanceViewSet.queryset.all().visible_to(User.objects.get(username="alice")).order_by("-created_at", "-pk")
    page = projection_of(InstanceViewSet.serializer_class).narrowed(rows)[:PAGE]
    return _timed(connection, page) + _timed(connection, cards_of([row.pk for row in page]))


def _timed(connection, query) -> float:
    text, values = query.query.sql_with_params()
    with connection.cursor() as cursor:
        for _warm in range(2):
            begun = time.perf_counter()
            cursor.execute(f"SELECT json_agg(page) FROM ({text}) AS page", values)
            cursor.fetchone()
            seconds = time.perf_counter() - begun
    return seconds


def _ask(client, name: str, path: str) -> tuple[float, int]:
    """(seconds, queries) of one answer; another before it has opened the connection and warmed what is cached."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    databases.use(name)
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        begun = time.perf_counter()
        answer = client.get(path)
        seconds = time.perf_counter() - begun
    assert answer.status_code == 200 and len(answer.json()["results"]) == PAGE, answer.content[:300]
    return seconds, len(captured)
