"""What people do with exports: ask for one, get a link to it. The caller has checked access."""
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import issuing
from billing.exports.columns import COLUMNS
from billing.exports.errors import TooManyExports, TooManyExportsToday
from billing.exports.steps import KIND
from billing.models import Export, ExportSchedule
from billing.models.exports import Format, What
from billing.periods import Month
from portal.kernel import audit
from portal.kernel.errors import InvalidInput, StateConflict
from portal.kernel.operations import submit
from portal.kernel.states import database_now
from tenants.models import Organization, User

MOST_MONTHS, MOST_AT_ONCE, DAY = 24, 3, timedelta(days=1)


@transaction.atomic
def request_export(organization: Organization, *, what: str, format: str, first_month: str, last_month: str = "",
                   columns: list[str] | None = None, actor: User | None, schedule: ExportSchedule | None = None,
                   now: datetime | None = None) -> Export:
    """Accept an export; an operation writes it. `last_month` is the first when it is empty; all columns unless some are named.

    Raises InvalidInput for months that are none, that are to come, or more than MOST_MONTHS, and for columns that there are not;
    TooManyExports while MOST_AT_ONCE of the organization are being written, TooManyExportsToday beyond what it may ask for within
    a day (EXPORTS_A_DAY; a schedule asks for one a day at most, and is not counted).
    """
    asked, now, columns = now, now or database_now(), columns or []
    issuing.check(what=_unknown(what, What), format=_unknown(format, Format), columns=_wrong_columns(what, columns))
    first, last = _months(first_month, last_month, now)
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    running = Export.objects.filter(organization=organization, state=Export.State.WRITING).count()
    if running >= MOST_AT_ONCE:
        raise TooManyExports(organization=organization.name, running=running, most=MOST_AT_ONCE)
    if schedule is None:
        _require_few(organization, database_now())
    export = Export(organization=organization, what=what, format=format, columns=columns, first_month=str(first),
                    last_month=str(last), maker=actor, schedule=schedule, created_at=now,
                    delivery=Export.Delivery.PENDING if schedule else Export.Delivery.NONE)
    operation = submit(KIND, region=None, actor=actor, arguments={"export": str(export.pk)} | (
        {"now": asked.isoformat()} if asked else {}))
    export.operation = operation.pk
    export.save(force_insert=True)
    audit.record("export.create", export, actor=actor, operation=operation, after={
        "what": what, "format": format, "first_month": str(first), "last_month": str(last), "columns": columns,
        "schedule": schedule and str(schedule.pk)})
    return export


def _require_few(organization: Organization, now: datetime) -> None:
    """The caller holds the organization's row, so two that come at once are counted in turn."""
    most = settings.EXPORTS["a_day"]
    made = Export.objects.filter(organization=organization, delivery=Export.Delivery.NONE, created_at__gt=now - DAY)
    if most and (count := made.count()) >= most:
        oldest = made.order_by("-created_at").values_list("created_at", flat=True)[most - 1]
        raise TooManyExportsToday(organization=organization.name, made=count, most=most,
                                  retry_after=max(1, round((oldest + DAY - now).total_seconds())))


def _unknown(value: str, known: Any) -> list[object]:
    return [] if value in known.values else [_("One of: {names}.").format(names=", ".join(known.values))]


def _wrong_columns(what: str, columns: list[str]) -> list[object]:
    known = COLUMNS.get(what, ())
    wrong: list[object] = [_("There is no column “{name}”.").format(name=name[:60]) for name in columns if name not in known][:5]
    return wrong or ([_("A column is named twice.")] if len(set(columns)) < len(columns) else [])


def _months(first: str, last: str, now: datetime) -> tuple[Month, Month]:
    zone = issuing.issuer().time_zone
    errors: dict[str, list[object]] = {}
    found: dict[str, Month] = {}
    for name, text in (("first_month", first), *([("last_month", last)] if last else [])):
        try:
            found[name] = Month.named(text, zone)
        except ValueError:
            errors[name] = [_("A month like 2026-11.")]
        else:
            if str(found[name]) > str(Month.of(now.astimezone(ZoneInfo(zone)), zone)):
                errors[name] = [_("This month is to come.")]
    if errors:
        raise InvalidInput(errors=errors)
    begin = found["first_month"]
    end = found.get("last_month", begin)
    months = 12 * (end.year - begin.year) + end.month - begin.month + 1
    if months < 1:
        raise InvalidInput.field("last_month", _("This is before the first month."))
    if months > MOST_MONTHS:
        raise InvalidInput.field("last_month", _("These are {months} months, and an export has {most} at most. Ask for several.")
                                 .format(months=months, most=MOST_MONTHS))
    return begin, end


def require_ready(export: Export) -> None:
    """Raise StateConflict unless there is a file."""
    if not export.is_ready:
        raise StateConflict(state=export.get_state_display())
