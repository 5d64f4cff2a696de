"""Making the fabric match the rows: one VPC is one document, applied whole, at its revision.

Whoever changes what a VPC is made of calls `changing` first (it locks the VPC and raises its revision) in the same
transaction; the doorbell, the 2 s sweep, the 30 s diff and operation steps all end in `apply_vpc`. A newer revision that
is already there is success: it holds our change too.
"""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F

from compute.hosts.drivers.contract import Fence
from compute.network.connections import fabric
from compute.network.fabric.contract import StaleRevision
from compute.network.fabric.design import public_document, vpc_document
from compute.network.models import AddressPool, Fabric, Port, Vpc
from compute.network.plans import public_plan, vpc_plan
from portal.kernel import live
from portal.kernel.models import Region
from portal.kernel.operations.doorbell import ring_task

log = structlog.get_logger(__name__)
APPLY, RECONCILE = "network.apply", "network.reconcile"


def changing(*vpc_ids: UUID) -> list[Vpc]:
    """Lock the VPCs (in order of id, so that nobody waits in a circle), raise their revisions, ring on commit."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("changing() needs the transaction of the change")
    rows = list(Vpc.objects.select_for_update(of=("self",), no_key=True).select_related("region", "project")
                .filter(pk__in=vpc_ids).order_by("pk"))
    Vpc.objects.filter(pk__in=[vpc.pk for vpc in rows]).update(revision=F("revision") + 1)
    for vpc in rows:
        vpc.revision += 1
        ring_task(APPLY, vpc.region.queue, str(vpc.pk))
    return rows


def apply_vpc(vpc_id: UUID, fence: Fence | None = None) -> None:
    """The fabric has the VPC as its rows are now. Raises FabricUnreachable (transient) or FabricFault."""
    with transaction.atomic():
        vpc = Vpc.objects.select_for_update(of=("self",), no_key=True).select_related("pool", "allocation").get(pk=vpc_id)
        row = Fabric.objects.get(region_id=vpc.region_id)
        document = None if vpc.deleted_at else vpc_document(vpc_plan(vpc))
    with fabric(row, fence) as driver:
        if document is not None and vpc.pool is not None:
            with _newer_is_well():
                driver.apply(public_document(public_plan(vpc.pool)))
        with _newer_is_well():
            driver.remove(vpc.pk, vpc.revision) if document is None else driver.apply(document)
    _applied(vpc)


@contextmanager
def _newer_is_well() -> Iterator[None]:
    """For one document: that of a public network says nothing about a VPC's."""
    try:
        yield
    except StaleRevision as newer:
        log.info("network.newer_is_there", **newer.facts)


@transaction.atomic
def _applied(vpc: Vpc) -> None:
    rows = Vpc.objects.filter(pk=vpc.pk, applied_revision__lt=vpc.revision)
    if rows.update(applied_revision=vpc.revision, fault=""):
        live.touch(vpc)


def apply_pool(pool: AddressPool, fence: Fence | None = None) -> None:
    """The public switch is there as the pool says."""
    with fabric(Fabric.objects.get(region_id=pool.region_id), fence) as driver, _newer_is_well():
        driver.apply(public_document(public_plan(pool)))
    AddressPool.objects.filter(pk=pool.pk).update(applied_revision=pool.revision)


def gateways_changed(region: Region) -> None:
    """Every VPC has other ways out. None of their rows changed, so the whole fabric is compared now, not at the next beat."""
    if Fabric.objects.filter(region=region).update(changes=F("changes") + 1):
        ring_task(RECONCILE, region.queue, str(region.pk))


def vpcs_with(group_ids: Iterable[UUID]) -> set[UUID]:
    """The VPCs in which ports have one of these groups, or a group with a rule that names one of them."""
    # From the ports: joined twice from the VPC, every port would meet every other one.
    used, ids = Port.objects.live().values_list("subnet__vpc", flat=True).order_by().distinct(), list(group_ids)
    return set(used.filter(groups__in=ids)) | set(used.filter(groups__rules__remote_group__in=ids))
