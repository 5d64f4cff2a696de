"""What projects cost: each by itself, and one with all that stood below it when, whatever moved meanwhile."""
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from billing import rating
from billing.money import Money, together
from tenants.models import Project
from tenants.structure import stood_below


def costs_of(project_ids: Collection[UUID], *, start: datetime, end: datetime, now: datetime) -> dict[UUID, list[Money]]:
    """Project → what was used in it itself, by currency; those that used nothing are left out. One statement."""
    found = rating.totals(rating.Selection(projects=list(project_ids)), ("project",), start=start, end=end, now=now)
    costs: dict[UUID, list[Money]] = {}
    for total in found.totals:
        costs.setdefault(total.project.id, []).append(total.money)
    return {pk: together(amounts) for pk, amounts in costs.items()}


def used_in_tree(project: Project, *, start: datetime, end: datetime, now: datetime,
                 seen: Collection[UUID] | None = None) -> list[rating.Total]:
    """As `costs_in_tree`, one sum for each project and currency, with the quantities; `seen` leaves out what is not among it."""
    end, found = min(end, now), {}
    for ids, since, until in stood_below(project, start, end):
        chosen = list(ids if seen is None else ids & set(seen))
        if not chosen:
            continue
        asked = rating.totals(rating.Selection(projects=chosen), ("project",), start=since, end=until, now=now)
        for total in asked.totals:
            key = (total.project.id, total.currency)
            found[key] = _joined(found[key], total) if key in found else total
    return list(found.values())


def _joined(one: rating.Total, other: rating.Total) -> rating.Total:
    return replace(one, quantity=one.quantity + other.quantity, amount=one.amount + other.amount)


def costs_in_tree(project: Project, *, start: datetime, end: datetime, now: datetime) -> dict[UUID, list[Money]]:
    """Project → what was used in it, by currency, while it stood at or below the given one: from the second in which it was
    moved here, and no longer than to the one in which it was moved away. Three statements, and one more for each move."""
    end, found = min(end, now), {}
    for ids, since, until in stood_below(project, start, end):
        for pk, costs in costs_of(ids, start=since, end=until, now=now).items():
            found[pk] = together([*found.get(pk, ()), *costs])
    return found


def cost_of_tree(project: Project, *, start: datetime, end: datetime, now: datetime) -> list[Money]:
    """The sums of `costs_in_tree`, by currency."""
    return together(cost for costs in costs_in_tree(project, start=start, end=end, now=now).values() for cost in costs)
