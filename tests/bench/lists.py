"""A page of 100 instances by REST: of 200, of 20,000, and deep among those 20,000."""
import time

from tests.bench import databases
from tests.bench.figures import Figure, beside

FEW, MANY, ROUNDS, PAGE = 200, 20_000, 7, 100
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
        rounds = [{name: _ask(clients[where], where, path) for name, (where, path) in asked.items()}
                  for _round in range(ROUNDS)]
    times = {name: [found[name][0] for found in rounds] for name in asked}
    queries = {name: rounds[0][name][1] for name in asked}
    return [
        beside(f"lists: page of {PAGE} of {MANY:,} rows", times["first of many"], times["first of few"], f"of {FEW} rows"),
        beside(f"lists: page {PAGES_DEEP} of {MANY:,} rows", times["deep of many"], times["first of many"], "page 1"),
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
