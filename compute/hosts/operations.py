"""Verbs on hosts. Adding one is storage's, since a host comes with its pool; so is the operation kind behind `prepare`."""
from django.db import transaction
from django.db.models import QuerySet

from compute.hosts.models import Host
from portal.kernel import audit
from portal.kernel.models import Operation
from portal.kernel.operations import submit

PREPARE = "host.prepare"


def preparations(host: Host) -> QuerySet[Operation]:
    """What was done to make the host ready, newest first."""
    rows = Operation.objects.filter(kind=PREPARE, arguments__host=str(host.pk)).select_related("actor", "target", "project")
    return rows.order_by("-created_at", "-pk")


@transaction.atomic
def prepare_host(host: Host, *, actor) -> Operation:
    """Find out what the host is and make it ready; again after a failure or a change. One that is under way goes on."""
    Host.objects.select_for_update(of=("self",), no_key=True).get(pk=host.pk)
    live = preparations(host).unfinished().first()
    if live is not None:
        return live
    Host.objects.filter(pk=host.pk).update(state=Host.State.PREPARING, fault=None)
    operation = submit(PREPARE, region=host.region, actor=actor, arguments={"host": str(host.pk)})
    audit.record("host.prepare", host, actor=actor, operation=operation, after={"name": host.name})
    return operation


@transaction.atomic
def set_maintenance(host: Host, wanted: bool, *, actor) -> None:
    """Take new instances, or do not."""
    Host.objects.filter(pk=host.pk).update(is_in_maintenance=wanted)
    audit.record("host.maintenance", host, actor=actor, before={"maintenance": host.is_in_maintenance},
                 after={"maintenance": wanted})
