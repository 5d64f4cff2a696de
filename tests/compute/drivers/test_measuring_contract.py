"""What every driver measures: from a start on, of what runs, by one call."""
from uuid import UUID

import pytest

from compute.hosts.drivers.contract import Measurement

from .conftest import wait_until
from .stands import Stand
from .test_hypervisor_contract import Recorder, started


def measurement_of(stand: Stand, uuid: UUID) -> Measurement | None:
    return next((one for one in stand.hypervisor().measurements() if UUID(one.domain) == uuid), None)


@pytest.mark.needs("measurements")
def test_what_runs_is_measured_from_its_start_on(stand: Stand) -> None:
    spec = started(stand)
    if stand.driver == "simulated":
        stand.hand.work(spec.uuid, cpu_ns=10**9, read_bytes=512, reads=1)
    # SeaBIOS looks whether the disk boots.
    wait_until(lambda: (one := measurement_of(stand, spec.uuid)) is not None and one.read_bytes > 0)
    first = measurement_of(stand, spec.uuid)
    assert first.cpu_ns > 0 and first.reads > 0 and first.rss_bytes > 0
    assert (first.rx_bytes, first.tx_bytes) == (0, 0)  # it has no card
    again = measurement_of(stand, spec.uuid)
    assert again.epoch == first.epoch and again.cpu_ns >= first.cpu_ns
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert measurement_of(stand, spec.uuid) is None
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    wait_until(lambda: measurement_of(stand, spec.uuid) is not None)
    assert measurement_of(stand, spec.uuid).epoch != first.epoch


def test_measuring_costs_one_call_however_many_domains_there_are(stand: Stand) -> None:
    for spec in (stand.new_domain(), stand.new_domain()):
        stand.hypervisor().ensure_defined(spec)
    fence = Recorder()
    stand.hypervisor(fence).measurements()
    assert len(fence.before_calls) == 1 and fence.before_calls == fence.after_calls
