"""Celery's clocks for measurements: passes over hosts, roll-ups, partitions. Each task may run never, twice or late."""
from uuid import UUID

from celery import shared_task

from compute.monitoring import partitions
from compute.monitoring.measuring import MEASURE_HOST, hosts, measure_host
from compute.monitoring.rollup import roll_up
from compute.monitoring.series import SAMPLE_S
from portal.kernel import maintenance
from portal.kernel.alone import alone
from portal.kernel.states import database_now

ONE_SUMS = 0x4D61696E_6D73756D
ONE_DIVIDES = 0x4D61696E_6D706172


@shared_task(name="monitoring.measure_all")
def measure_all() -> None:
    """Ring once for every host that answers; none during maintenance."""
    if maintenance.is_on():
        return
    for host in hosts().select_related("region"):
        measure.apply_async(args=[str(host.pk)], queue=host.region.queue, expires=SAMPLE_S, retry=False)


@shared_task(name=MEASURE_HOST)
def measure(host_id: str) -> None:
    measure_host(UUID(host_id))


@shared_task(name="monitoring.roll_up")
def sum_up_all() -> None:
    with alone(ONE_SUMS) as is_ours:
        if is_ours and not maintenance.is_on():
            roll_up()


@shared_task(name="monitoring.divide")
def divide() -> None:
    """Partitions for what comes; those that are too old go."""
    with alone(ONE_DIVIDES) as is_ours:
        if is_ours and not maintenance.is_on():
            now = database_now()
            partitions.make_ahead(now)
            partitions.drop_old(now)
