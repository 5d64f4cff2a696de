"""Guests whose file systems stand still while their disks are copied: for a moment, and never for longer.

Who freezes says for how long; it is written down before the guest is asked, so that the reconciler thaws in time what a worker
that was killed, or a host that did not answer, has left frozen. Thawing what is not frozen is success.
"""
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Hypervisor
from compute.hosts.models import Host
from compute.instances.models import Instance
from portal.kernel.errors import HostFault, HostUnreachable
from portal.kernel.operations import Run
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
LONGEST = timedelta(seconds=30)


def freeze(run: Run, instance: Instance, *, longest: timedelta = LONGEST) -> None:
    """Its file systems are written out, and stand still until `thaw`, but no longer than that. Raises HostFault when no agent
    answers: then nothing stands still."""
    with run.guarded():
        Instance.objects.filter(pk=instance.pk).update(frozen_until=database_now() + longest)
    try:
        with hypervisor(instance.host, run) as driver:
            driver.ensure_frozen(instance.pk, instance.generation)
    except HostFault:  # it may be frozen all the same
        with suppress(HostFault):
            thaw(run, instance)
        raise


def thaw(run: Run, instance: Instance) -> None:
    """Its writers go on. Raises HostFault; the reconciler then goes on trying."""
    with hypervisor(instance.host, run) as driver:
        driver.ensure_thawed(instance.pk, instance.generation)
    with run.guarded():
        Instance.objects.filter(pk=instance.pk).update(frozen_until=None)


def thaw_overdue(host: Host, driver: Hypervisor, now: datetime) -> None:
    """Whatever an operation may still be about: it was to be done by now. Raises HostUnreachable."""
    for instance in Instance.objects.filter(host=host, frozen_until__lt=now).only("generation", "frozen_until"):
        log.warning("freezing.overdue", instance=str(instance.pk))
        try:
            driver.ensure_thawed(instance.pk, instance.generation)
        except HostUnreachable:
            raise
        except HostFault as error:
            log.warning("freezing.still_frozen", instance=str(instance.pk), error=str(error))
            continue
        Instance.objects.filter(pk=instance.pk, frozen_until=instance.frozen_until).update(frozen_until=None)
