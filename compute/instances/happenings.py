"""What guests do that no state tells afterwards: they start anew by themselves, and they hang and let their watchdog go hungry.

It is heard by the watcher alone, and what happens while nobody listens is lost; what a state tells, the reconciler sees anyway. A
guest that starts anew again and again is told of once in `QUIET`: the trail is not its to fill.
"""
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from billing import metering
from compute.hosts.drivers.contract import REBOOTED, WATCHDOG, Cause
from compute.instances.following import FIRED, HALTED, RESTARTED
from compute.instances.models import ON_A_HOST, Instance, PowerCause, WatchdogAction
from compute.instances.models import InstanceState as S
from portal.kernel import audit, live
from portal.kernel.states import database_now

QUIET = timedelta(minutes=5)
# Between the hunger of a watchdog and what it does to the power, or what it does and when that is seen.
SOON = timedelta(minutes=1)
STAYING = frozenset({WatchdogAction.NONE, WatchdogAction.RESET})
"""What changes no power: nobody but the watcher hears of it."""


def is_one(what: str) -> bool:
    """Whether `note` has to hear of what a watcher said."""
    return what == REBOOTED or what.startswith(WATCHDOG)


@transaction.atomic
def note(host_id: UUID, domain: UUID, what: str) -> None:
    """Write down what a host said of a domain that it has for us. While an operation is at it, that is what it is doing."""
    rows = Instance.objects.select_for_update(of=("self",), no_key=True).select_related("project__organization", "type")
    instance = rows.filter(pk=domain, host=host_id, hold=None, state__in=[*ON_A_HOST, S.RESCUED]).first()
    if instance is None:
        return
    now = database_now()
    if what == REBOOTED:
        _restarted(instance, now)
    else:
        _hungry(instance, what.removeprefix(WATCHDOG), now)


def starved(instance: Instance, now: datetime) -> bool:
    """Whether it is off because its watchdog has just switched it off: QEMU ends at once, and its host says that it crashed."""
    fired_at = instance.watchdog_fired_at
    return instance.watchdog == WatchdogAction.POWEROFF and fired_at is not None and fired_at > now - SOON


def cause_of(instance: Instance, said: Cause, now: datetime) -> Cause:
    """Why its power is as its host says, with what was heard before."""
    return Cause.WATCHDOG if said is Cause.CRASH and starved(instance, now) else said


def _restarted(instance: Instance, now: datetime) -> None:
    """Unless its watchdog did it, of which that tells."""
    fired_at = instance.watchdog_fired_at
    is_by_watchdog = instance.watchdog == WatchdogAction.RESET and fired_at is not None and fired_at > now - QUIET
    if _is_quiet(instance.rebooted_at, now) and not is_by_watchdog:
        _set(instance, rebooted_at=now)
        audit.record(RESTARTED, instance, actor=None)


def _hungry(instance: Instance, does: str, now: datetime) -> None:
    is_new = _is_quiet(instance.watchdog_fired_at, now)
    if does not in STAYING:
        _set(instance, watchdog_fired_at=now)
        _correct(instance, does, now)
    elif is_new:
        _set(instance, watchdog_fired_at=now)
        audit.record(FIRED, instance, actor=None, after={"does": does})


def _correct(instance: Instance, does: str, now: datetime) -> None:
    """The reconciler was faster, and took it for a crash."""
    is_taken = instance.state == S.STOPPED and instance.power_cause == PowerCause.CRASH
    if does == WatchdogAction.POWEROFF and is_taken and instance.state_changed_at > now - SOON:
        _set(instance, power_cause=PowerCause.WATCHDOG)
        metering.settle(instance, instance.readings(instance.state), at=now)
        audit.record(HALTED, instance, actor=None, after={"state": instance.state, "why": PowerCause.WATCHDOG.value})


def _is_quiet(last: datetime | None, now: datetime) -> bool:
    return last is None or last < now - QUIET


def _set(instance: Instance, **values: object) -> None:
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=list(values))
    live.touch(instance)
