"""The clock's part of schedules: each due moment becomes one row, and the verb is done to each instance once.

Claiming is a transaction: the run's row (one for each schedule and moment, by a constraint), whom it concerns, and when the next
one is due. Then every instance has a transaction of its own, in which the verb is accepted and the run remembers it. So a worker
that is killed anywhere leaves a run that the next look carries on, and two that look at once do everything once: the run is
written last, and only as it was read, so whoever comes second takes all back that they did.

What was slept through is not made up for, save the latest moment, and that only when it is younger than LATEST.
"""
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from compute.instances.models import HEAVY, IN_BIN, Instance
from compute.instances.operations import act
from compute.instances.schedules.cron import moments
from compute.instances.schedules.models import InstanceSchedule, ScheduleRun
from compute.instances.schedules.reasons import GONE, SLEPT
from compute.instances.schedules.verbs import UNREAD, next_after, refusal
from compute.instances.verbs import VERBS
from portal.kernel import audit
from portal.kernel.errors import PortalError
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
LATEST = timedelta(hours=1)
MOST_REFUSALS = 3
INSTANT = timedelta(microseconds=1)
State = ScheduleRun.State


def run_due(now: datetime | None = None) -> int:
    """Claim what is due and carry out what is claimed; how many runs began. Each by itself: one that fails keeps none of the
    others back. Schedules of organizations that are suspended wait."""
    now = now or database_now()
    due = InstanceSchedule.objects.filter(
        state=InstanceSchedule.State.ENABLED, next_at__lte=now, project__deleted_at=None,
        project__organization__suspended_at=None, project__organization__deleted_at=None).order_by("next_at", "pk")
    begun = sum(_alone(_claim, pk, now) for pk in list(due.values_list("pk", flat=True)))
    for pk in list(ScheduleRun.objects.filter(state=State.RUNNING).order_by("due_at", "pk").values_list("pk", flat=True)):
        _alone(_carry_on, pk, now)
    return begun


def _alone(work: Any, pk: UUID, now: datetime) -> bool:
    try:
        return work(pk, now)
    except Exception:
        log.exception("schedules.failed", work=work.__name__, row=str(pk))
        return False


@transaction.atomic
def _claim(pk: UUID, now: datetime) -> bool:
    """Make the row of the run that is due; whether one begins."""
    schedule = (InstanceSchedule.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("project__organization", "owner", "instance").defer(*UNREAD)
                .filter(pk=pk, state=InstanceSchedule.State.ENABLED, next_at__lte=now).first())
    if schedule is None:
        return False
    first = schedule.next_at
    schedule.next_at = next_after(schedule, now)
    since = max(first - INSTANT, now - LATEST)
    fresh = list(takewhile(lambda moment: moment <= now, moments(schedule.cron, schedule.time_zone, since)))
    if not fresh or fresh[-1] != first:  # the clock slept
        _add(schedule, first, now, state=State.MISSED, reason=SLEPT)
    begins = bool(fresh) and _begin(schedule, fresh[-1], now)
    schedule.save(update_fields=["next_at", "refusals", "state"])
    return begins


def _begin(schedule: InstanceSchedule, due: datetime, now: datetime) -> bool:
    reason = refusal(schedule)
    if reason:
        if _add(schedule, due, now, state=State.REFUSED, reason=reason):
            _count_refusal(schedule, reason)
        return False
    pending = [str(found) for found in _targets(schedule)]
    schedule.refusals = 0
    run = _add(schedule, due, now, pending=pending)
    if run is None:
        return False
    audit.record("instance_schedule.run", schedule, actor=schedule.owner, after={"due": due, "instances": len(pending)})
    return True


def _add(schedule: InstanceSchedule, due: datetime, now: datetime, **values: Any) -> ScheduleRun | None:
    """The row of the moment; None when there was one already."""
    run, is_new = ScheduleRun.objects.get_or_create(schedule=schedule, due_at=due, defaults={"created_at": now} | values)
    return run if is_new else None


def _count_refusal(schedule: InstanceSchedule, reason: str) -> None:
    """Tell whom it concerns; the third in a row is the last, and what is about nothing any more ends at once."""
    schedule.refusals += 1
    told = {"reason": reason, "owner": str(schedule.owner_id or "")}
    if schedule.refusals < MOST_REFUSALS and reason != GONE:
        audit.record("instance_schedule.refuse", schedule, actor=None, after=told)
        return
    schedule.state = InstanceSchedule.State.DISABLED
    audit.record("instance_schedule.disable", schedule, actor=None, after=told)


def _targets(schedule: InstanceSchedule) -> list[UUID]:
    if schedule.instance_id:
        return [schedule.instance_id]
    has_tag = (Q(tags__contains={schedule.tag_key: schedule.tag_value}) if schedule.tag_value
               else Q(tags__has_key=schedule.tag_key))
    rows = Instance.objects.live().filter(has_tag, project=schedule.project_id).exclude(state__in=IN_BIN)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _carry_on(pk: UUID, now: datetime) -> bool:
    """Give each instance of the run that is still pending its turn, once."""
    failed: set[str] = set()
    while _do_one(pk, now, failed):
        pass
    return True


@transaction.atomic
def _do_one(pk: UUID, now: datetime, failed: set[str]) -> bool:
    """Do the verb to the next instance of the run, or end it; whether there may be more to do.

    The run's row is not held meanwhile: verbs take the instance and then its organization, and who deletes a project has its
    organization when they come to its runs (`verbs.end_with_project`).
    """
    run = (ScheduleRun.objects.select_related("schedule__owner", "schedule__instance")
           .defer(*(f"schedule__{name}" for name in UNREAD)).filter(pk=pk, state=State.RUNNING).first())
    if run is None or (run.pending and run.pending[0] in failed):
        return False
    was = run.pending
    if not was:
        run.state = State.DONE
    elif now - run.due_at > LATEST:
        names = dict(Instance.objects.filter(pk__in=was).values_list("pk", "name"))
        run.results += [_said(one, names.get(UUID(one), ""), SLEPT) for one in was]
        run.state, run.reason, run.pending = State.MISSED, SLEPT, []
    else:
        _take_turn(run, failed)
    is_ours = ScheduleRun.objects.filter(pk=pk, state=State.RUNNING, pending=was).update(
        state=run.state, reason=run.reason, pending=run.pending, results=run.results)
    if not is_ours:  # another was quicker, or the schedule is being deleted
        transaction.set_rollback(True)
    return bool(is_ours) and run.in_flight


def _take_turn(run: ScheduleRun, failed: set[str]) -> None:
    """What fails in a way that nobody expected is put behind the others, to be tried again at the next look."""
    one, *rest = run.pending
    try:
        with transaction.atomic():
            said = _outcome(run.schedule, one)
    except Exception:
        log.exception("schedules.instance_failed", run=str(run.pk), instance=one)
        failed.add(one)
        run.pending = [*rest, one]
    else:
        run.pending = rest
        run.results.append(said)


def _outcome(schedule: InstanceSchedule, pk: str) -> dict[str, Any]:
    """What became of one instance. The right is asked anew: it may have been lost since the claim."""
    verb, instance = VERBS[schedule.verb], Instance.objects.defer(*HEAVY).filter(pk=pk).first()
    if instance is None or instance.deleted_at is not None:
        return _said(pk, instance.name if instance else "", GONE)
    if reason := refusal(schedule):
        return _said(pk, instance.name, reason)
    said = _said(pk, instance.name)
    if instance.state == verb.settled and instance.state not in verb.legal:
        return said | {"outcome": "unchanged"}
    try:
        operation = act(instance, verb.name, actor=schedule.owner)
    except PortalError as error:
        return said | {"error": error.for_everybody().as_row()}
    return said | {"outcome": "accepted", "operation": str(operation.pk)}


def _said(pk: str, name: str, reason: str = "") -> dict[str, Any]:
    """An outcome as it is stored: refused, as long as nothing else is said."""
    return {"instance": pk, "name": name, "outcome": "refused", "operation": None,
            "error": {"code": reason, "detail": "", "facts": {}} if reason else None}
