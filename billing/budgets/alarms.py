"""Watching budgets: each is counted anew, and a threshold that is reached fires once.

Whoever counts holds the budget's row while alarms are written, and PostgreSQL keeps one row for a threshold, a month and an
amount: two that watch at once, or one that is killed, fire once.
"""
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from time import monotonic

import structlog
from django.db import transaction
from django.db.models import F

from billing.budgets.spending import Spending, month_of, spending_of
from billing.models import Budget, BudgetAlarm
from billing.periods import Month
from portal.kernel import audit
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
TENTH = Decimal("0.1")
LONGEST_S = 45
"""So long one run counts; those that were not reached come first in the next one."""
ACTS = {Budget.Basis.ACTUAL: "budget.alarm", Budget.Basis.FORECAST: "budget.forecast"}


def watch(*, now: datetime | None = None, longest: timedelta = timedelta(seconds=LONGEST_S)) -> list[BudgetAlarm]:
    """Count the budgets, those first that were not counted the longest, and fire what is reached. One that fails keeps none of
    the others back."""
    ends, fired = monotonic() + longest.total_seconds(), []
    rows = Budget.objects.living().filter(organization__deleted_at=None).order_by(
        F("counted_at").asc(nulls_first=True), "pk").values_list("pk", flat=True)
    for pk in list(rows):
        try:
            fired += check(pk, now=now or database_now())
        except Exception:
            log.exception("budget.not_counted", budget=str(pk))
        if monotonic() > ends:
            break
    return fired


def check(pk: object, *, now: datetime) -> list[BudgetAlarm]:
    """Count one budget, keep what was found for the pages, and fire the thresholds that it reaches for the first time."""
    counted = Budget.objects.living().select_related("project").filter(pk=pk).first()
    if counted is None:
        return []
    month = month_of(now)
    found = spending_of(counted, month, now)
    with transaction.atomic():
        budget = Budget.objects.living().select_for_update(no_key=True, of=("self",)).select_related(
            "organization", "project").filter(pk=pk, currency=counted.currency).first()
        if budget is None:  # changed meanwhile: what was counted is not of it
            return []
        Budget.objects.filter(pk=pk).update(spent=found.spent, forecast=found.forecast, month=str(month), counted_at=now)
        return _fire(budget, month, found, now)


def _fire(budget: Budget, month: Month, found: Spending, now: datetime) -> list[BudgetAlarm]:
    """One alarm for each threshold that is reached and has none in this month with this amount."""
    rows = BudgetAlarm.objects.filter(budget=budget, since=month.start, amount=budget.amount, currency=budget.currency)
    done = set(rows.values_list("basis", "percent"))
    return [_alarm(budget, month, one, found, now) for one in budget.thresholds
            if (one["basis"], one["percent"]) not in done and is_reached(budget, one, found)]


def is_reached(budget: Budget, threshold: dict, found: Spending) -> bool:
    """Exactly so much is enough."""
    return found.of(threshold["basis"]) * 100 >= budget.amount * threshold["percent"]


def _alarm(budget: Budget, month: Month, threshold: dict, found: Spending, now: datetime) -> BudgetAlarm:
    alarm = BudgetAlarm.objects.create(
        budget=budget, since=month.start, until=month.end, **threshold, amount=budget.amount, currency=budget.currency,
        spent=found.spent, forecast=found.forecast, at=now)
    reached = found.of(alarm.basis)
    share = (reached * 100 / budget.amount).quantize(TENTH, ROUND_DOWN)  # never more than is so
    reason = f"{reached:,.2f} / {budget.amount:,.2f} {budget.currency} ({share:,} %)"
    audit.record(ACTS[alarm.basis], budget, actor=None, after={
        "month": str(month), "percent": alarm.percent, "actions": alarm.actions, "amount": alarm.amount,
        "currency": alarm.currency, "spent": found.spent, "forecast": found.forecast, "reason": reason})
    return alarm
