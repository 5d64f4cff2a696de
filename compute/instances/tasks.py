"""Celery's clocks: for the reconciler, for suspended organizations, for the recycle bin, and for schedules."""
from celery import shared_task

from compute.hosts.models import Host
from compute.instances.reconcile import reconcile_host
from compute.instances.recycling import purge_due
from compute.instances.schedules.running import run_due
from compute.instances.suspension import STOP, stop_suspended
from portal.kernel import maintenance
from portal.kernel.alone import alone

ONE_STOPS = 0x4D61696E_6E73746F
ONE_PURGES = 0x4D61696E_6E707572


@shared_task(name="instances.reconcile_all")
def reconcile_all() -> None:
    """Ring once for every host that has or had instances; none during maintenance."""
    if maintenance.is_on():
        return
    for host in Host.objects.followed().select_related("region"):
        reconcile.apply_async(args=[str(host.pk)], queue=host.region.queue, expires=30, retry=False)


@shared_task(name="instances.reconcile")
def reconcile(host_id: str) -> None:
    reconcile_host(host_id)


@shared_task(name=STOP)
def stop_all_suspended() -> None:
    """Rung when an organization is suspended, and by the clock for what was under way then; none during maintenance."""
    with alone(ONE_STOPS) as is_ours:
        if is_ours and not maintenance.is_on():
            stop_suspended()


@shared_task(name="instances.purge_recycled")
def purge_recycled() -> None:
    """What was deleted so many days ago is deleted for good; none during maintenance."""
    with alone(ONE_PURGES) as is_ours:
        if is_ours and not maintenance.is_on():
            purge_due()


@shared_task(name="instances.run_schedules")
def run_schedules() -> None:
    """Do what schedules say is due; none during maintenance. Several at once do everything once."""
    if not maintenance.is_on():
        run_due()
