"""What costs and serves nobody, by the rules that rooms declare, at what it costs in a month of 730 hours from now on."""
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing import rating
from billing.money import Money, together
from billing.prices import HOURS_A_MONTH
from portal.kernel.declarations import IdleRule, registry
from portal.kernel.remembered import remembered

HOUR = timedelta(hours=1)
MOST_PRICED = 100
"""Of each rule: those that are idle for longest."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A resource that serves nobody since then, and what it costs a month with what is paid for its sake alone."""

    resource: rating.Named
    project: rating.Named
    rule: IdleRule
    since: datetime
    monthly: Money


@dataclass(frozen=True, kw_only=True)
class IdleThings:
    """Dearest first. `is_cut`: there are more, which are idle for a shorter time."""

    rows: tuple[Idle, ...]
    is_cut: bool

    @property
    def saving(self) -> list[Money]:
        """What a month would cost less without them."""
        return together(one.monthly for one in self.rows)


def idle(projects: Collection[UUID] | None, now: datetime) -> IdleThings:
    """In the projects (None: in all): a statement or two for each rule, and one for their prices."""
    key = ("idle", None if projects is None else frozenset(projects))
    return remembered(key, lambda: _idle(projects, now))


def _idle(projects: Collection[UUID] | None, now: datetime) -> IdleThings:
    found: dict[UUID, tuple[object, IdleRule]] = {}
    owners: dict[UUID, UUID] = {}
    is_cut = False
    for rule in registry.idle_rules.values():
        rows = rule.rows(now).select_related("project").order_by("state_changed_at", "pk")
        rows = list((rows if projects is None else rows.filter(project_id__in=projects))[:MOST_PRICED + 1])
        is_cut |= len(rows) > MOST_PRICED
        found |= {row.pk: (row, rule) for row in rows[:MOST_PRICED]}
        if rule.parts is not None and rows:
            owners |= rule.parts([row.pk for row in rows[:MOST_PRICED]])
    if not found:
        return IdleThings(rows=(), is_cut=False)
    priced = _priced(projects, {*found, *owners}, owners, now)
    rows = [Idle(resource=rating.Named(id=pk, name=row.name, type=row.kind), rule=rule, since=row.state_changed_at, monthly=money,
                 project=rating.Named(id=row.project_id, name=row.project.name, type="project"))
            for pk, (row, rule) in found.items() for money in priced.get(pk, ())]
    return IdleThings(rows=tuple(sorted(rows, key=lambda one: (-one.monthly.amount, one.resource.name, one.resource.id))),
                      is_cut=is_cut)


def _priced(projects: Collection[UUID] | None, ids: Collection[UUID], owners: dict[UUID, UUID],
            now: datetime) -> dict[UUID, list[Money]]:
    """Resource → what it costs a month, what belongs to it included; what is free is left out."""
    totals = rating.totals(rating.Selection(projects=projects, resources=ids), ("resource",), start=now, end=now + HOUR,
                           now=now + HOUR).totals
    found: dict[UUID, list[Money]] = {}
    for total in totals:
        if total.amount:
            pk = owners.get(total.resource.id, total.resource.id)
            found.setdefault(pk, []).append(Money(total.amount * HOURS_A_MONTH, total.currency))
    return {pk: together(amounts) for pk, amounts in found.items()}
