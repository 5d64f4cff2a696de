"""What people do with schedules of instances. The caller has checked access.

A schedule acts in the name of whoever made it or changed it last: nobody has somebody else's rights used for what they chose. An
operator who helps leaves the owner as it is.
"""
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from compute.instances.models import HEAVY, Instance
from compute.instances.schedules.cron import check, moments
from compute.instances.schedules.models import InstanceSchedule
from compute.instances.schedules.reasons import GONE, LEFT, NO_RIGHT, REASONS
from portal.kernel import audit
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.names import are_tags
from portal.kernel.states import database_now
from tenants.errors import NotForAnother
from tenants.models import Project, User
from tenants.quotas import reserve

VIEW, MANAGE, DIMENSION = "instance.view", "instance.operate", "instance_schedules"
CHANGEABLE = ("name", "verb", "instance", "tag_key", "tag_value", "cron", "time_zone")
UNREAD = tuple(f"instance__{name}" for name in HEAVY)
"""What nobody who reads schedules with their instances looks at."""
State = InstanceSchedule.State


@transaction.atomic
def create_schedule(project: Project, *, name: str, verb: str, cron: str, actor: User, time_zone: str = "UTC",
                    instance: Instance | None = None, tag_key: str = "", tag_value: str = "",
                    now: datetime | None = None) -> InstanceSchedule:
    """A schedule of one instance of the project, or of all in it with the tag (any value of it, when none is given).

    Raises InvalidInput for what can never work, NotForAnother, QuotaExceeded, ProjectArchived.
    """
    _require_oneself(actor)
    now = now or database_now()
    row = InstanceSchedule(project=project, name=name, verb=verb, cron=cron, time_zone=time_zone, instance=instance,
                           tag_key=tag_key, tag_value=tag_value, owner=actor, created_at=now)
    _check(row, now)
    reserve(project, None, {DIMENSION: 1})
    row.next_at = next_after(row, now)
    row.save(force_insert=True)
    audit.record("instance_schedule.create", row, actor=actor, after=_told(row))
    return row


@transaction.atomic
def change_schedule(schedule: InstanceSchedule, *, actor: User, enabled: bool | None = None, now: datetime | None = None,
                    **values: Any) -> InstanceSchedule:
    """Set any of CHANGEABLE, or whether it is enabled; a tag takes the instance's place, and the other way round. With other
    times, or enabled again, it begins anew: what was due until now is not made up for. Raises InvalidInput as
    `create_schedule` and where it is enabled for nothing, NotForAnother, NotFound when it was deleted meanwhile."""
    _require_oneself(actor)
    row, now = _held(schedule.pk), now or database_now()
    before, was = _told(row), (row.cron, row.time_zone, row.is_enabled)
    for name, value in _of_one_or_a_tag(row, values).items():
        setattr(row, name, value)
    if not actor.is_superuser:
        row.owner = actor
    _check(row, now)
    if enabled and (why := why_not_enable(row, actor)):
        raise InvalidInput.field("enabled", why)
    if enabled is not None:
        row.state = State.ENABLED if enabled else State.DISABLED
    row.refusals = 0
    if (row.cron, row.time_zone, row.is_enabled) != was:
        row.next_at = next_after(row, now)
    row.save()
    audit.record("instance_schedule.change", row, actor=actor, before=before, after=_told(row))
    return row


@transaction.atomic
def delete_schedule(schedule: InstanceSchedule, *, actor: User | None) -> None:
    """Nothing is done by it any more, and the log of its runs goes with it. What was begun goes on."""
    row = _held(schedule.pk, no_key=False)
    audit.record("instance_schedule.delete", row, actor=actor, before=_told(row))
    row.delete()


def end_with_project(project: Project, actor: User | None) -> None:
    """The project is deleted, and its schedules with it."""
    for row in InstanceSchedule.objects.filter(project=project):
        delete_schedule(row, actor=actor)


def lacks(schedule: InstanceSchedule) -> str:
    """What it needs and has no more: GONE, LEFT, or nothing."""
    if schedule.instance is not None and schedule.instance.deleted_at is not None:
        return GONE
    return LEFT if schedule.owner is None or not schedule.owner.is_active else ""


def refusal(schedule: InstanceSchedule) -> str:
    """Why it may not act in its owner's name now; empty when it may."""
    return lacks(schedule) or ("" if schedule.owner.grants.may(MANAGE, schedule.project_id) else NO_RIGHT)


def why_not_enable(schedule: InstanceSchedule, actor: User) -> str:
    """A sentence why it would do nothing if this person enabled it; empty when it would. Whoever is no operator becomes its
    owner, so that none is missing."""
    reason = lacks(schedule)
    return "" if not reason or (reason == LEFT and not actor.is_superuser) else str(REASONS[reason])


def next_after(schedule: InstanceSchedule, now: datetime) -> datetime:
    return next(moments(schedule.cron, schedule.time_zone, now))


def _held(pk: UUID, *, no_key: bool = True) -> InstanceSchedule:
    rows = InstanceSchedule.objects.select_for_update(no_key=no_key, of=("self",))
    found = rows.select_related("project__organization", "instance", "owner").defer(*UNREAD).filter(pk=pk).first()
    if found is None:
        raise NotFound
    return found


def _require_oneself(actor: User) -> None:
    """Raise NotForAnother where an operator acts as the actor: what they chose would be done in the user's name long after."""
    if actor.acted_by is not None:
        raise NotForAnother


def _of_one_or_a_tag(row: InstanceSchedule, values: dict[str, Any]) -> dict[str, Any]:
    """What is set. Raises InvalidInput for another tag without its value: with none it would be all that bear the key."""
    values = {name: value for name, value in values.items() if name in CHANGEABLE}
    key = values.get("tag_key")
    if values.get("instance") is not None and not key:
        return values | {"tag_key": "", "tag_value": ""}
    if not key or values.get("instance") is not None:
        return values
    if "tag_value" not in values and row.tag_key not in ("", key):
        raise InvalidInput.field("tag_value", _("Say the value of the other tag, too; an empty one stands for any."))
    return values | {"instance": None}


def _check(row: InstanceSchedule, now: datetime) -> None:
    errors: dict[str, list[str]] = {}
    if row.verb not in InstanceSchedule.Verb.values:
        errors["verb"] = [_("One of: {names}.").format(names=", ".join(InstanceSchedule.Verb.values))]
    if (row.instance is None) == (not row.tag_key):
        errors["instance"] = [_("Either an instance or a tag.")]
    if row.instance is not None and row.instance.project_id != row.project_id:
        errors["instance"] = [_("This instance is in another project.")]
    if (row.tag_value and not row.tag_key) or (row.tag_key and not are_tags({row.tag_key: row.tag_value})):
        errors["tag_key"] = [_("A tag is a key up to 60 characters without a colon, and a value up to 200.")]
    try:
        check(row.cron, row.time_zone, now)
    except InvalidInput as error:
        errors |= error.errors
    if errors:
        raise InvalidInput(errors=errors)


def _told(row: InstanceSchedule) -> dict[str, Any]:
    return {name: str(getattr(row, name) or "") for name in (*CHANGEABLE, "state", "owner")}
