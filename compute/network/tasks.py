"""Celery's side of networks: doorbells and clocks. Each task may run never, twice or late."""
from uuid import UUID

import structlog
from celery import shared_task
from django.db.models import F

from compute.network.apply import APPLY, RECONCILE, apply_vpc
from compute.network.fabric.contract import FabricFault, FabricUnreachable
from compute.network.models import Fabric, Vpc
from compute.network.reconcile import note_health, reconcile_fabric
from compute.network.traffic import COUNT_HOST, count_host, hosts
from portal.kernel import maintenance
from portal.kernel.alone import alone

log = structlog.get_logger(__name__)
RINGS_AT_ONCE = 20


@shared_task(name=APPLY)
def apply(vpc_id: str) -> None:
    """The fabric gets the VPC as it is now; when that fails, the sweep rings again."""
    vpc = due().filter(pk=vpc_id).select_related("region__fabric").first()
    if vpc is None or maintenance.is_on():  # the sweep rings again afterwards
        return
    try:
        apply_vpc(vpc.pk)
    except FabricFault as error:
        log.warning("network.not_applied", vpc=vpc_id, error=str(error))
        Vpc.objects.filter(pk=vpc_id).update(fault=error.code)
        if isinstance(error, FabricUnreachable):
            note_health(vpc.region.fabric, Fabric.Health.UNREACHABLE, str(error.facts.get("reason", "")))
    else:
        if vpc.region.fabric.health == Fabric.Health.UNREACHABLE:
            note_health(vpc.region.fabric, Fabric.Health.UP, "")


def due():
    """VPCs, deleted ones too, whose fabric is behind."""
    return Vpc.objects.filter(revision__gt=F("applied_revision"))


@shared_task(name="network.sweep")
def sweep() -> None:
    """Ring for what no doorbell reached. Of a fabric that does not answer one VPC is tried, lest all workers wait for it."""
    if maintenance.is_on():
        return
    silent: set[UUID] = set()
    for vpc in due().select_related("region__fabric").order_by("updated_at")[:RINGS_AT_ONCE]:
        if vpc.region_id in silent:
            continue
        if vpc.region.fabric.health == Fabric.Health.UNREACHABLE:
            silent.add(vpc.region_id)
        apply.apply_async(args=[str(vpc.pk)], queue=vpc.region.queue, expires=2, retry=False)


@shared_task(name="network.reconcile_all")
def reconcile_all() -> None:
    """Ring once for every region with a fabric; none during maintenance."""
    if maintenance.is_on():
        return
    for row in Fabric.objects.select_related("region"):
        reconcile.apply_async(args=[str(row.pk)], queue=row.region.queue, expires=30, retry=False)


@shared_task(name=RECONCILE)
def reconcile(region_id: str) -> None:
    """One pass over the region at a time: with thousands of VPCs it outlasts many beats, and all workers would be at it. What
    changed since one began is told by its row: one more follows, however many have rung."""
    row, began = Fabric.objects.get(pk=region_id), None
    try:
        with alone(_key(row.pk)) as is_ours:
            if not is_ours:
                return
            row.refresh_from_db()
            began = row.changes
            reconcile_fabric(row)
    finally:  # those who rang meanwhile went away: also of a pass that broke they are told on
        if began is not None and Fabric.objects.filter(pk=row.pk).exclude(changes=began).exists():
            reconcile.apply_async(args=[region_id], queue=row.region.queue, retry=False)


def _key(pk: UUID) -> int:
    return int.from_bytes(pk.bytes[:8], signed=True) ^ 0x7265_6366


@shared_task(name="network.count_traffic_all")
def count_traffic_all() -> None:
    """Ring once for every host from which floating IPs send; none during maintenance."""
    if maintenance.is_on():
        return
    for host in hosts().select_related("region"):
        count_traffic.apply_async(args=[str(host.pk)], queue=host.region.queue, expires=60, retry=False)


@shared_task(name=COUNT_HOST)
def count_traffic(host_id: str) -> None:
    count_host(UUID(host_id))
