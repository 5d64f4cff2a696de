"""What projects cost: each by itself, and one with all that stood below it when, whatever moved meanwhile."""
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing import rating
from billing.money import Money
from tenants.models import Project
from tenants.structure import stood_below


def costs_of(project_ids: Collection[UUID], *, start: datetime, end: datetime, now: datetime) -> dict[UUID, Money]:
    """Project → what was used in it itself; those that used nothing are left out. One statement."""
    found = rating.totals(rating.Selection(projects=list(project_ids)), ("project",), start=start, end=end, now=now)
    return {total.project.id: Money(total.amount, total.currency) for total in found.totals}


def used_in_tree(project: Project, *, start: datetime, end: datetime, now: datetime,
                 seen: Collection[UUID] | None = None) -> dict[UUID, rating.Total]:
    """As `costs_in_tree`, with the quantities; `seen` leaves out what is not among it."""
    end, found = min(end, now), {}
    for ids, since, until in stood_below(project, start, end):
        chosen = list(ids if seen is None else ids & set(seen))
        if not chosen:
            continue
        asked = rating.totals(rating.Selection(projects=chosen), ("project",), start=since, end=until, now=now)
        for total in asked.totals:
            found[total.project.id] = _together(found[total.project.id], total) if total.project.id in found else total
    return found


def _together(one: rating.Total, other: rating.Total) -> rating.Total:
    return replace(one, quantity=one.quantity + other.quantity, seconds=one.seconds + other.seconds,
                   amount=one.amount + other.amount)


def costs_in_tree(project: Project, *, start: datetime, end: datetime, now: datetime) -> dict[UUID, Money]:
    """Project → what was used in it while it stood at or below the given one: from the second in which it was moved here, and no
    longer than to the one in which it was moved away. Three statements, and one more for each moment of a move."""
    end, found = min(end, now), {}
    for ids, since, until in stood_below(project, start, end):
        for pk, cost in costs_of(ids, start=since, end=until, now=now).items():
            found[pk] = found[pk] + cost if pk in found else cost
    return found


def cost_of_tree(project: Project, *, start: datetime, end: datetime, now: datetime) -> Money:
    """The sum of `costs_in_tree`."""
    found = [*costs_in_tree(project, start=start, end=end, now=now).values()]
    return sum(found[1:], found[0]) if found else Money(Decimal(0), rating.currency())
