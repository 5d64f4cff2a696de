"""Creates accepted a second for one organization (one transaction each: quota, rows, operation, audit), and how many; and
what `reserve()` takes of four levels and all dimensions, beside the bare lock and one statement that sums them."""
import threading
import time

from tests.bench import databases
from tests.bench.figures import Figure, duration, median, ratio, spread

LIMIT, THREADS, ROUNDS = 60, 8, 5
LEVELS, ROWS, TURNS, GOAL = 4, 2000, 200, 0.5


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0):
        from django.conf import settings

        from tests.world import make_world

        world = make_world(settings.STATE_DIR / "quota")
        _round(world, 1)  # imports, caches
        rounds = [(_round(world, THREADS), _round(world, 1)) for _turn in range(ROUNDS)]
        ours, bare = _reserving(world)
    many, one = [pair[0][0] for pair in rounds], [pair[1][0] for pair in rounds]
    admitted = sorted({count for pair in rounds for _rate, count in pair})
    return [
        Figure(name=f"quota: creates, {THREADS} threads",
               value=f"{ratio(many, one):.2f} × ({median(many):.0f}/s; {spread(many)})",
               compared=f"one thread ({median(one):.0f}/s)"),
        Figure(name=f"quota: admitted of {LIMIT}", value=", ".join(map(str, admitted)),
               compared=f"{2 * ROUNDS} races to the limit", goal=f"exactly {LIMIT}", met=admitted == [LIMIT]),
        Figure(name=f"quota: reserve() of all dimensions at {LEVELS} levels, {ROWS} instances",
               value=f"{ratio(bare, ours):.2f} × as fast ({duration(ours)})",
               compared=f"lock and sum by hand ({duration(bare)})", goal=f"≥ {GOAL} ×", met=ratio(bare, ours) >= GOAL),
    ]


def _reserving(world) -> tuple[list[float], list[float]]:
    """Seconds of one `reserve()` and of the bare statements, turn by turn."""
    from compute.instances.models import Instance
    from portal.kernel.declarations import registry
    from tenants import operations, quotas
    from tenants.models import Quota

    project = world.project
    for number in range(LEVELS - 1):
        project = operations.create_project(world.project.organization, f"level-{number}", actor=None, parent=project)
    instance = Instance.objects.create(
        project=project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type, vcpus=1,
        memory_mib=256, image=world.image, state="running", observed_state="running")
    databases.copy_resource(instance, ROWS - 1)
    for place in project.ancestor_ids:
        Quota.objects.bulk_create(
            Quota(project_id=place, region=world.region if one.regional else None, dimension=name, limit=10**9)
            for name, one in registry.dimensions.items())
    databases.analyze()
    wanted = dict.fromkeys(registry.dimensions, 1)
    ours, bare = [], []
    for _turn in range(TURNS):
        ours.append(_seconds(lambda: quotas.reserve(project, world.region, wanted)))
        bare.append(_seconds(lambda: _by_hand(project, world.region)))
    return ours[TURNS // 4:], bare[TURNS // 4:]


def _seconds(act) -> float:
    from django.db import transaction

    with transaction.atomic():
        begun = time.perf_counter()
        act()
        return time.perf_counter() - begun


BARE = """
WITH mine AS (SELECT id FROM tenants_project WHERE organization_id = %(organization)s),
     live AS (SELECT id, kind FROM kernel_resource WHERE project_id IN (SELECT id FROM mine) AND region_id = %(region)s
                                                         AND deleted_at IS NULL)
SELECT (SELECT count(*) FROM live WHERE kind = 'vpc'), (SELECT count(*) FROM live WHERE kind = 'subnet'),
       (SELECT count(*) FROM live WHERE kind = 'port'), (SELECT count(*) FROM live WHERE kind = 'security_group'),
       (SELECT count(*) FROM live WHERE kind = 'floating_ip'),
       (SELECT count(*) FROM live JOIN network_securitygrouprule ON group_id = live.id),
       (SELECT count(*) FROM live WHERE kind = 'image'),
       (SELECT count(*) FROM tenants_apikey WHERE project_id IN (SELECT id FROM mine) AND revoked_at IS NULL
                                              AND (expires_at IS NULL OR expires_at > now())),
       (SELECT count(*) FROM kernel_operation WHERE project_id IN (SELECT id FROM mine) AND region_id = %(region)s
                                                AND state IN ('queued', 'running') AND kind = 'instance.create'),
       count(instance.resource_id), sum(instance.vcpus), sum(instance.memory_mib), count(volume.resource_id), sum(volume.size_gib)
  FROM live LEFT JOIN instances_instance instance ON instance.resource_id = live.id
            LEFT JOIN storage_volume volume ON volume.resource_id = live.id
"""


def _by_hand(project, region) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM tenants_organization WHERE id = %s FOR NO KEY UPDATE", [project.organization_id])
        cursor.execute(BARE, {"organization": project.organization_id, "region": region.pk})
        cursor.fetchall()


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
