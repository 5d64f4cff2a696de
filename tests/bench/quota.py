"""Creates accepted a second for one organization (one transaction each: quota, rows, operation, audit), and how
many."""
import threading
import time

from tests.bench import databases
from tests.bench.figures import Figure, median, ratio, spread

LIMIT, THREADS, ROUNDS = 60, 8, 5


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0):
        from django.conf import settings

        from tests.world import make_world

        world = make_world(settings.STATE_DIR / "quota")
        _round(world, 1)  # imports, caches
        rounds = [(_round(world, THREADS), _round(world, 1)) for _turn in range(ROUNDS)]
    many, one = [pair[0][0] for pair in rounds], [pair[1][0] for pair in rounds]
    admitted = sorted({count for pair in rounds for _rate, count in pair})
    return [
        Figure(name=f"quota: creates, {THREADS} threads",
               value=f"{ratio(many, one):.2f} × ({median(many):.0f}/s; {spread(many)})",
               compared=f"one thread ({median(one):.0f}/s)"),
        Figure(name=f"quota: admitted of {LIMIT}", value=", ".join(map(str, admitted)),
               compared=f"{2 * ROUNDS} races to the limit", goal=f"exactly {LIMIT}", met=admitted == [LIMIT]),
    ]


def _round(world, threads: int) -> tuple[float, int]:
    """(creates a second until the quota is used up, rows admitted) in a new organization."""
    from compute.instances.models import Instance
    from tenants import operations
    from tenants.models import Quota

    owner = world.people["alice"]
    organization = operations.create_organization(f"O{time.monotonic_ns()}", owner=owner, actor=None)
    project = operations.create_project(organization, "p", actor=None)
    Quota.objects.create(organization=organization, region=world.region, dimension="instances", limit=LIMIT)
    order, ready = world.order(project=project), threading.Barrier(threads + 1)
    workers = [threading.Thread(target=_create_until_refused, args=(order, owner, ready)) for _thread in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begun
    admitted = Instance.objects.filter(project=project).count()
    return admitted / seconds, admitted


def _create_until_refused(order, owner, ready: threading.Barrier) -> None:
    from django.db import connections

    from compute.instances.operations import create_instance
    from portal.kernel.errors import QuotaExceeded

    ready.wait()
    try:
        while True:
            create_instance(order, actor=owner)
    except QuotaExceeded:
        pass
    finally:
        connections.close_all()
