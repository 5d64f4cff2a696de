"""The fabric's reconciler: every 30 s each VPC is compared with its rows and mended, strangers of ours are removed.

Only rows that carry our deployment's mark and a VPC that is gone are removed; what others keep in the same fabric is
never touched. Whether ports are up is read here and shown; nothing is assumed while the fabric does not answer.
"""
import time
from uuid import UUID

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from compute.network.addressing import allocate, open_pool
from compute.network.apply import apply_pool, apply_vpc, changing
from compute.network.connections import fabric
from compute.network.errors import PoolFull
from compute.network.fabric.contract import FabricFault, FabricUnreachable
from compute.network.models import AddressPool, Fabric, Port, Vpc
from portal.kernel import live
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
SECOND_LOOK_S = 2


def reconcile_fabric(row: Fabric) -> None:
    """One pass over a region's networks."""
    try:
        with fabric(row) as driver:
            there = driver.owners()
        note_health(row, Fabric.Health.UP, "")
        for pool in AddressPool.objects.filter(region=row.region_id):
            apply_pool(pool)
        _open_ways_out(row)
        for vpc_id in Vpc.objects.live().filter(region=row.region_id).values_list("pk", flat=True):
            _mend(vpc_id)
        _remove_strangers(row, there)
        note_ports(row)
    except FabricUnreachable as error:
        note_health(row, Fabric.Health.UNREACHABLE, str(error.facts.get("reason", "")))


def _open_ways_out(row: Fabric) -> None:
    """VPCs from before the region had a public network go out by it from now on."""
    closed = Vpc.objects.live().filter(region=row.region_id, pool=None).values_list("pk", flat=True)
    if open_pool(row.region) is None:
        return
    for vpc_id in closed:
        try:
            with transaction.atomic():
                [vpc] = changing(vpc_id)
                if vpc.deleted_at is not None or vpc.pool_id is not None:  # since it was looked for
                    continue
                Vpc.objects.filter(pk=vpc.pk).update(pool=allocate(open_pool(row.region, lock=True), vpc).pool)
        except PoolFull:
            log.warning("network.no_way_out", vpc=str(vpc_id))
            return


def _mend(vpc_id: UUID) -> None:
    """One VPC that the engine refuses must not keep the others from being mended."""
    try:
        apply_vpc(vpc_id)
    except FabricUnreachable:
        raise
    except FabricFault as error:
        log.error("network.refused", vpc=str(vpc_id), error=str(error))
        Vpc.objects.filter(pk=vpc_id).update(fault=error.code)


def _remove_strangers(row: Fabric, there: dict[UUID, int]) -> None:
    """Documents of VPCs that are deleted, or that a worker killed in time before last had made again."""
    known = set(Vpc.objects.live().filter(region=row.region_id).values_list("pk", flat=True))
    known |= set(AddressPool.objects.filter(region=row.region_id).values_list("pk", flat=True))
    for owner, revision in there.items():
        # Asked again: it may have been made since the fabric was read.
        if owner not in known and not Vpc.objects.live().filter(pk=owner).exists():
            log.warning("network.removed_stranger", owner=str(owner))
            with fabric(row) as driver:
                driver.remove(owner, revision)


def note_ports(row: Fabric) -> None:
    """Write down which ports of instances are up; their instances' pages follow."""
    ports = dict(Port.objects.live().filter(region=row.region_id, domain__isnull=False).values_list("pk", "is_up"))
    with fabric(row) as driver:
        up = driver.ports_up(str(pk) for pk in ports)
        if any(was and str(pk) not in up for pk, was in ports.items()):
            time.sleep(SECOND_LOOK_S)  # a row that was mended a moment ago is not claimed by its host yet
            up = driver.ports_up(str(pk) for pk in ports)
    changed = [pk for pk, was in ports.items() if was != (str(pk) in up)]
    for port in Port.objects.filter(pk__in=changed):
        Port.objects.filter(pk=port.pk).update(is_up=str(port.pk) in up)
        live.touch(port)


def note_health(row: Fabric, health: str, reason: str) -> None:
    """Write down whether the fabric answers; the sweep spares workers while it does not."""
    fields: dict[str, object] = {"health": health, "health_reason": reason[:500]}
    if health == Fabric.Health.UP:
        fields["last_seen_at"] = database_now()
    if row.health != health:
        log.warning("fabric.health", region=str(row.region_id), health=health, reason=reason)
    Fabric.objects.filter(pk=row.pk).update(**fields)


def why_pending(vpc: Vpc) -> str:
    """A sentence for the page of a VPC that the fabric does not have yet."""
    if vpc.fault:
        return _("The network refused it; the operators have been told.")
    return _("The network is being changed.") if vpc.state == "pending" else ""
