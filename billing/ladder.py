"""The ladder of who does not pay: reminded, nothing new starts, instances are stopped, to be deleted.

A rung is climbed so many days (of the issuer) after the oldest unpaid invoice was due, one at a time and each at least a day
after the one before, which told of it: a clock that stood still jumps over nobody. Who pays in advance climbs from the moment in
which it was seen that more than all was used, by the same numbers as hours. Down it goes at once, as far as is paid.

`follow` is the only writer. It holds the organization, looks, and moves it; whoever is killed leaves nothing, and again changes
nothing. Rooms to the right say what a rung means to them (`registry.unpaid_hooks`); billing itself refuses what is new. On
the last rung instances go to the recycle bin, from which who pays in time restores them; what else there is stays, operators are
told and see the list.
"""
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from billing import credit, issuing, prepaid
from billing.credit import Balance
from billing.models import Account, Dunning, Invoice, Issuer, Leg, Rung
from billing.payments import receivable
from portal.kernel import audit
from portal.kernel.composed import Composed
from portal.kernel.declarations import registry
from portal.kernel.errors import Unpaid
from portal.kernel.remembered import LATELY_S, remembered
from portal.kernel.states import database_now
from tenants.models import Organization, Project

log = structlog.get_logger(__name__)
RUNGS = tuple(Rung)
ACTS = {Rung.REMINDER: "dunning.remind", Rung.BLOCKED: "dunning.block", Rung.STOPPED: "dunning.stop",
        Rung.RECYCLED: "dunning.recycle"}
REFUSING = (Rung.BLOCKED, Rung.STOPPED, Rung.RECYCLED)
STOPPING = (Rung.STOPPED, Rung.RECYCLED)
Debt = tuple[Dunning.Cause, datetime]
"""Why and since when something is due."""


def heights(issuer: Issuer, cause: str) -> dict[Rung, timedelta]:
    """Rung → how long after the beginning it is climbed."""
    unit = _unit(cause)
    numbers = (issuer.reminder_days, issuer.block_days, issuer.stop_days, issuer.recycle_days)
    return {rung: number * unit for rung, number in zip(RUNGS[1:], numbers, strict=True)}


def _unit(cause: str) -> timedelta:
    return timedelta(hours=1) if cause == Dunning.Cause.EMPTY else timedelta(days=1)


# -- what is due --

def _overdue(organization: Organization, now: datetime) -> Debt | None:
    """Since when the oldest invoice that is not paid is due."""
    left = receivable(Leg.objects.filter(organization=organization)).filter(left__gt=0).values("bill")
    due = Invoice.objects.filter(pk__in=left, due_at__lte=now).order_by("due_at").values_list("due_at", flat=True).first()
    return (Dunning.Cause.OVERDUE, due) if due else None


def _debt(organization: Organization, balances: Sequence[Balance], row: Dunning, now: datetime) -> Debt | None:
    """Of who pays in advance in whichever currency: one in which it paid before counts as well."""
    if not any(one.is_prepaid for one in balances):
        return _overdue(organization, now)
    if all(one.left.amount >= 0 for one in balances):
        return None
    is_known = row.cause == Dunning.Cause.EMPTY and row.began_at is not None
    return Dunning.Cause.EMPTY, row.began_at if is_known else now


# -- the verb --

@transaction.atomic
def follow(organization: Organization, *, now: datetime | None = None, may_climb: bool = True) -> Dunning:
    """Move the organization to the rung where it belongs, and warn it when what is left ends soon. `may_climb` False: only down.

    Changes in this transaction that the caller has made count; it may hold the organization already.
    """
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    now = now or database_now()  # a later statement than the lock: whoever held it before is seen
    row = Dunning.objects.filter(pk=organization.pk).first() or Dunning(organization=organization)
    row.organization = organization
    balances = credit.balances([organization], now=now) if credit.pays_by_credit(organization) else []
    changed = _move(row, _debt(organization, balances, row, now), now, may_climb=may_climb)
    if balances:
        changed |= prepaid.warn(row, prepaid.outlook(balances[0], now=now))
    elif row.warned_hours is not None:
        row.warned_hours, changed = None, True
    if changed:
        row.save()
    if row.rung in STOPPING:
        _tell_rooms(organization, row.rung)
    return row


def _move(row: Dunning, debt: Debt | None, now: datetime, *, may_climb: bool) -> bool:
    """Whether something in the row changed."""
    before = (row.rung, row.cause, row.began_at, row.next_at)
    if debt is None:
        _come_down(row, Rung.NONE, now)
        row.cause, row.began_at, row.next_at = "", None, None
        return before != (row.rung, row.cause, row.began_at, row.next_at)
    row.cause, row.began_at = debt
    wanted = heights(issuing.issuer(), row.cause)
    deserved = max((rung for rung in wanted if row.began_at + wanted[rung] <= now), key=RUNGS.index, default=Rung.NONE)
    if RUNGS.index(deserved) < RUNGS.index(Rung(row.rung)):
        _come_down(row, deserved, now)
    _look_ahead(row, wanted)
    if may_climb and row.next_at is not None and row.next_at <= now and not is_held(row, now):
        _climb(row, wanted, now)
    return before != (row.rung, row.cause, row.began_at, row.next_at)


def _look_ahead(row: Dunning, wanted: dict[Rung, timedelta]) -> None:
    """When the next rung is climbed: never sooner than a day (an hour) after this one was."""
    higher = row.next_rung
    at = None if higher is None else row.began_at + wanted[higher]
    row.next_at = max(at, row.since + _unit(row.cause)) if at and row.since else at


def is_held(row: Dunning, now: datetime) -> bool:
    return row.held_until is not None and row.held_until > now


def _climb(row: Dunning, wanted: dict[Rung, timedelta], now: datetime) -> None:
    before, row.rung, row.since = row.rung, row.next_rung, now
    _look_ahead(row, wanted)
    audit.record(ACTS[row.rung], row.organization, actor=None, before={"rung": before}, after=_facts(row))


def _come_down(row: Dunning, rung: Rung, now: datetime) -> None:
    if row.rung != rung:
        before, row.rung = row.rung, rung
        row.since = None if rung == Rung.NONE else now
        act, after = ("dunning.lift", {"rung": rung}) if rung == Rung.NONE else ("dunning.lower", _facts(row))
        audit.record(act, row.organization, actor=None, before={"rung": before}, after=after)


def _facts(row: Dunning) -> dict[str, Any]:
    higher, since = row.next_rung, f"{row.began_at:%Y-%m-%d %H:%M} UTC"
    then = f" → {row.next_at:%Y-%m-%d %H:%M} UTC: {higher.value}" if higher and row.next_at else ""
    return {"rung": row.rung, "cause": row.cause, "began_at": row.began_at.isoformat(),
            "next": higher and higher.value, "next_at": row.next_at and row.next_at.isoformat(), "reason": since + then}


def _tell_rooms(organization: Organization, rung: str) -> None:
    """Each time: what was started or busy meanwhile is looked at again."""
    for hook in registry.unpaid_hooks:
        transaction.on_commit(lambda hook=hook: hook(organization, rung), robust=True)


@transaction.atomic
def hold(organization: Organization, *, until: datetime | None, reason: str, actor: Any, now: datetime | None = None) -> Dunning:
    """Let the organization climb no further until then; None: it climbs again. Raises InvalidInput."""
    now = now or database_now()
    issuing.check(held_until=[_("This is in the past.")] if until is not None and until <= now else [],
                  hold_reason=issuing.wrong_text(reason))
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    row = Dunning.objects.get_or_create(organization=organization)[0]
    row.held_until, row.hold_reason = until, reason.strip()
    row.save(update_fields=["held_until", "hold_reason"])
    audit.record("dunning.hold", organization, actor=actor, after={
        "until": until and until.isoformat(), "reason": row.hold_reason})
    return row


# -- who is looked at --

def followed() -> QuerySet[Organization]:
    """Whoever owes something, pays by credit, or stands on the ladder."""
    owing = Leg.objects.filter(account=Account.RECEIVABLE).order_by().values("organization", "currency").annotate(
        left=Sum("amount")).filter(left__gt=0).values("organization")
    return Organization.objects.filter(deleted_at=None).filter(
        Q(plan=Organization.Plan.TRIAL) | Q(billing_profile__is_prepaid=True) | Q(pk__in=owing)
        | Q(dunning__warned_hours__isnull=False) | ~Q(dunning__rung=Rung.NONE) & Q(dunning__isnull=False)).order_by("pk")


def follow_all(organizations: Iterable[Organization] | None = None, *, now: datetime | None = None) -> list[Organization]:
    """Each by itself; one that fails is logged and keeps none of the others back. Returns those that failed."""
    failed = []
    for organization in followed() if organizations is None else organizations:
        try:
            follow(organization, now=now)
        except Exception:
            log.exception("billing.not_followed", organization=str(organization.pk))
            failed.append(organization)
    return failed


# -- what it means here --

LIFTING = frozenset({"payment.record", "invoice.credit_note", "invoice.write_off", "credit.grant", "voucher.redeem",
                     "billing_profile.change"})
"""Acts after which less may be due."""


def audited(event: Any) -> None:
    """Whoever pays goes on at once, in the transaction that books it."""
    if event.action not in LIFTING or event.result != "ok" or event.organization_id is None:
        return
    if Dunning.objects.filter(pk=event.organization_id).exclude(rung=Rung.NONE).exists():
        follow(Organization.objects.get(pk=event.organization_id), may_climb=False)


def refuse_new(project: Project, region: Any, wanted: dict[str, int]) -> None:
    """A taking hook: nothing new in a region. Raises Unpaid."""
    if region is not None and wanted:
        require_paid(project.organization_id)


def require_paid(organization_id: UUID, rungs: Collection[Rung] = REFUSING, *, lately: bool = False) -> None:
    """Raise Unpaid on these rungs: where nothing new starts. Where the caller holds the organization, a payment and this come in
    turn. `lately`: only to be shown, so that it may be made may be some seconds old; that it may not never is."""
    row = (remembered(("refusing", organization_id), lambda: refusing(organization_id), least_s=LATELY_S) if lately
           else refusing(organization_id))
    if lately and row is not None:  # who paid a moment ago
        row = refusing(organization_id)
    if row is not None and row.rung in rungs:
        raise Unpaid(organization=row.organization.name, since=f"{row.began_at:%Y-%m-%d}", rung=row.rung)


def refusing(organization_id: UUID) -> Dunning | None:
    """Where it stands, if nothing new starts there; for forecasts, too."""
    return next(iter(WHERE_NOTHING_STARTS.models(organization=organization_id)), None)


# Asked for each create.
WHERE_NOTHING_STARTS = Composed(lambda organization: Dunning.objects.filter(
    pk=organization, rung__in=REFUSING).select_related("organization"), organization=UUID)
