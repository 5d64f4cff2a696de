"""Exports that are made by themselves: what people do with their schedules, and the clock's part."""
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import issuing
from billing.closing import CLOSES_AFTER, has_to_close, period_of
from billing.exports import folders
from billing.exports.errors import TooManyExports
from billing.exports.verbs import request_export
from billing.models import Export, ExportSchedule, Invoice
from billing.models.exports import Format, What
from billing.periods import Month
from portal.kernel import audit
from portal.kernel.errors import InvalidInput, NotFound, QuotaExceeded
from portal.kernel.states import database_now
from tenants.models import Organization, User
from tenants.webhooks.addresses import UrlRefused, parse
from tenants.webhooks.operations import new_secret

log = structlog.get_logger(__name__)
MOST_SCHEDULES = 20
"""Of an organization."""
LATE, LATEST, LOOK_AGAIN = timedelta(hours=2), timedelta(days=4), timedelta(hours=1)
"""After a month may be closed its export waits so long; until when for one that is not closed yet; and how often it looks."""
Every, State = ExportSchedule.Every, ExportSchedule.State
CHANGEABLE = ("name", "format", "url", "method", "folder")


@transaction.atomic
def create_schedule(organization: Organization, *, name: str, what: str, format: str, every: str, actor: User, url: str = "",
                    method: str = "POST", folder: str = "", now: datetime | None = None) -> tuple[ExportSchedule, str]:
    """The schedule and the secret that signs what is sent, which is not shown again (empty for a folder).

    Raises InvalidInput for an address or folder that cannot be, QuotaExceeded beyond MOST_SCHEDULES.
    """
    now = now or database_now()
    issuing.check(what=_unknown(what, What), format=_unknown(format, Format), every=_unknown(every, Every),
                  method=_unknown(method, ExportSchedule.Method))
    where = _where(url, folder)
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    used = ExportSchedule.objects.filter(organization=organization).count()
    if used >= MOST_SCHEDULES:
        raise QuotaExceeded(resource="export schedules", scope=organization.name, limit=MOST_SCHEDULES, used=used, wanted=1)
    schedule = ExportSchedule.objects.create(
        organization=organization, name=name, what=what, format=format, every=every, method=method, **where, maker=actor,
        secret=new_secret() if where["url"] else "", next_at=next_after(every, now), created_at=now)
    audit.record("export_schedule.create", schedule, actor=actor, after=_told(schedule))
    return schedule, schedule.secret


@transaction.atomic
def change_schedule(schedule: ExportSchedule, *, actor: User, enabled: bool | None = None, now: datetime | None = None,
                    **values: Any) -> ExportSchedule:
    """Set any of CHANGEABLE, or whether it is enabled. Raises InvalidInput as `create_schedule`."""
    row = _held(schedule.pk)
    before = _told(row)
    values = {name: value for name, value in values.items() if name in CHANGEABLE}
    if {"url", "folder"} & set(values):
        values |= _where(values.get("url", "" if values.get("folder") else row.url),
                         values.get("folder", "" if values.get("url") else row.folder))
    issuing.check(format=_unknown(values.get("format", row.format), Format),
                  method=_unknown(values.get("method", row.method), ExportSchedule.Method))
    if enabled is not None:
        values["state"] = State.ENABLED if enabled else State.DISABLED
        if enabled and not row.is_enabled:
            values["next_at"] = next_after(row.every, now or database_now())
    if values.get("url") and not row.secret:
        values["secret"] = new_secret()
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=[*values, "updated_at"])
    audit.record("export_schedule.change", row, actor=actor, before=before, after=_told(row))
    return row


@transaction.atomic
def delete_schedule(schedule: ExportSchedule, *, actor: User) -> None:
    """No further file is made, and none of it is brought anywhere; those that there are stay listed."""
    row = _held(schedule.pk, no_key=False)
    audit.record("export_schedule.delete", row, actor=actor, before=_told(row))
    Export.objects.filter(schedule=row, delivery=Export.Delivery.PENDING).update(delivery=Export.Delivery.FAILED, next_at=None)
    row.delete()


def _held(pk: UUID, *, no_key: bool = True) -> ExportSchedule:
    """Raises NotFound for one that somebody deleted meanwhile."""
    found = ExportSchedule.objects.select_for_update(no_key=no_key).filter(pk=pk).first()
    if found is None:
        raise NotFound
    return found


def next_after(every: str, now: datetime) -> datetime:
    """The next night of the issuer's time zone; of a week the one before Monday, of a month the one after it may be closed."""
    zone = issuing.issuer().time_zone
    month = Month.of(now, zone)
    if every == Every.MONTH:
        due = month.start + CLOSES_AFTER + LATE
        return due if due > now else month.end + CLOSES_AFTER + LATE
    day = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=30, second=0, microsecond=0) + timedelta(days=1)
    if every == Every.WEEK:
        day += timedelta(days=(7 - day.weekday()) % 7)
    return day


def months_of(every: str, due: datetime) -> tuple[str, str]:
    """Which months the file that is due then has: the month that is over; else those in which the day or week before was."""
    zone = issuing.issuer().time_zone
    if every == Every.MONTH:
        last = Month.of(due - CLOSES_AFTER, zone).previous
        return str(last), str(last)
    return (str(Month.of(due - timedelta(days=7 if every == Every.WEEK else 1), zone)),
            str(Month.of(due - timedelta(days=1), zone)))


def start_due(now: datetime) -> int:
    """Ask for the files that are due; how many. Each schedule by itself: one that fails keeps none of the others back. Of an
    organization that is deleted nothing is brought anywhere any more."""
    due, started = ExportSchedule.objects.filter(
        state=State.ENABLED, next_at__lte=now, organization__deleted_at=None).order_by("next_at"), 0
    for pk in list(due.values_list("pk", flat=True)):
        try:
            started += _start(pk, now)
        except TooManyExports:  # in a minute there may be room
            continue
        except Exception:
            log.exception("exports.not_started", schedule=str(pk))
    return started


@transaction.atomic
def _start(pk: Any, now: datetime) -> bool:
    """The file and when the next one is due, in one transaction: twice at once it is asked for once."""
    schedule = (ExportSchedule.objects.select_for_update(skip_locked=True, of=("self",)).select_related("organization")
                .filter(pk=pk, state=State.ENABLED, next_at__lte=now).first())
    if schedule is None:
        return False
    first, last = months_of(schedule.every, schedule.next_at)
    if schedule.every == Every.MONTH and now < period_of(Month.named(last)).upper + LATEST and not _is_closed(schedule, last):
        ExportSchedule.objects.filter(pk=pk).update(next_at=now + LOOK_AGAIN)
        return False
    request_export(schedule.organization, what=schedule.what, format=schedule.format, first_month=first, last_month=last,
                   actor=None, schedule=schedule)
    ExportSchedule.objects.filter(pk=pk).update(next_at=next_after(schedule.every, now))
    return True


def _is_closed(schedule: ExportSchedule, month: str) -> bool:
    """Whether the month has its invoice, or needs none."""
    if Invoice.objects.filter(organization=schedule.organization_id, month=month, kind=Invoice.Kind.INVOICE).exists():
        return True
    return not has_to_close(schedule.organization_id, Month.named(month))


def _where(url: str, folder: str) -> dict[str, str]:
    if bool(url) == bool(folder):
        raise InvalidInput.field("url", _("Either an address or a folder."))
    if folder:
        wrong = [] if folders.is_name(folder) else [_("Up to 60 lower-case letters, digits, - and _.")]
        issuing.check(folder=wrong if folders.are_offered() else [_("This site has no folders for exports. Use an address.")])
        return {"url": "", "folder": folder}
    try:
        return {"url": parse(url).url, "folder": ""}
    except UrlRefused as error:
        raise InvalidInput.field("url", str(error)) from error


def host_of(schedule: ExportSchedule) -> str:
    """Where it leads, without the path, which often carries a secret."""
    try:
        return parse(schedule.url).authority if schedule.url else ""
    except UrlRefused:
        return ""


def _told(schedule: ExportSchedule) -> dict[str, Any]:
    """For the audit trail, which more people read than may see the address: its host."""
    return {name: str(getattr(schedule, name)) for name in ("name", "what", "format", "every", "method", "folder", "state")} | {
        "host": host_of(schedule)}


def _unknown(value: str, known: Any) -> list[object]:
    return [] if value in known.values else [_("One of: {names}.").format(names=", ".join(known.values))]
