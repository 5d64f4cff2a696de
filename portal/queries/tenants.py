"""The tenants' dashboard: what runs, what it costs, what needs attention, what happened."""
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from billing import attention, credit
from billing.models import Dunning
from compute.instances.models import Instance
from portal.kernel.models import AuditEvent, Operation, Region
from tenants.models import Project

from .attention import MOST, besides, newest_and_failed, newest_and_odd
from .spending import Spending, spending
from .taken import Near, near_limits, taken, total

RECENT = 6
OF_EVENT = ("at", "action", "target_name", "result", "address", "actor__username")


@dataclass(frozen=True, kw_only=True)
class Attention:
    """What somebody should look at."""

    instances: list[Instance]
    operations: list[Operation]
    limits: list[Near]
    credits: list[credit.Balance] = field(default_factory=list)
    due: list[Dunning] = field(default_factory=list)
    """Bills, and what is left that ends soon."""
    budgets: list[attention.Reached] = field(default_factory=list)
    requests: int = 0
    """For higher limits, that wait for the user's answer."""

    def __bool__(self) -> bool:
        return bool(self.instances or self.operations or self.limits or self.credits or self.due or self.budgets or self.requests)


@dataclass(frozen=True, kw_only=True)
class Board:
    """Everything on the first page of a tenant."""

    has: Counter
    spending: Spending | None
    credits: list[credit.Balance]
    attention: Attention
    instances: list[Instance]
    operations: list[Operation]
    events: list[AuditEvent]

    @property
    def is_new(self) -> bool:
        """Whether nothing but what every project has was ever made here, as far as the newest operations tell."""
        has_something = any(self.has[name] for name in ("instances", "volumes", "floating_ips"))
        return not has_something and not any(one.kind == "instance.create" for one in self.operations)


def tenant_board(user: Any, project: Project | None, projects: list[Project], *, regions: list[Region], requests: int,
                 now: datetime) -> Board:
    """What `user` may see, of one project or of all of `projects`, which are those that the user sees. Whoever sees everything
    looks at one. `requests` wait for the user's answer."""
    events = _narrow(AuditEvent.objects.visible_to(user), project).select_related("actor").only(*OF_EVENT)
    if project is not None and user.grants.sees_everything:  # not the whole cloud for one project
        projects = [one for one in projects if one.organization_id == project.organization_id]
    found = taken([one.pk for one in projects])
    credits = _credits(user, project, projects)
    low = [one for one in credits if one.is_low]
    newest, odd = newest_and_odd(_where(user, "instance.view", project))
    latest, bad = newest_and_failed(_where(user, "operation.view", project), now)
    return Board(
        has=total(found, project), spending=spending(user, project, now=now), credits=credits,
        attention=Attention(instances=odd, operations=besides(bad, odd)[:3],
                            limits=_near(user, project, projects, found, regions),
                            credits=low, due=_due(user, project, low), budgets=attention.reached(user, project),
                            requests=requests),
        instances=newest, operations=latest,
        events=list(events.order_by("-at", "-pk")[:RECENT]))


def _where(user: Any, permission: str, project: Project | None) -> Collection[UUID]:
    """Ids of the projects that are looked at, as far as the permission is held there."""
    if project is None:
        return user.grants.projects(permission)
    return [project.pk] if user.grants.may(permission, project.pk) else []


def _narrow(rows: QuerySet, project: Project | None) -> QuerySet:
    return rows if project is None else rows.filter(project=project)


def _credits(user: Any, project: Project | None, projects: list[Project]) -> list[credit.Balance]:
    """Of organizations that live on credit; their plan keeps them small, so that what they used is quickly added up."""
    seen = {one.organization for one in (projects if project is None else [project])
            if credit.pays_by_credit(one.organization, lately=True) and user.grants.may("usage.view", one.pk)}
    return credit.balances(sorted(seen, key=lambda one: one.name)[:credit.MOST_SHOWN])


def _due(user: Any, project: Project | None, low: list[credit.Balance]) -> list[Dunning]:
    """Of whose credit is told that it is low it need not be told again that it ends."""
    told = {one.organization.pk for one in low}
    return [one for one in attention.due(user, project) if one.began_at or one.pk not in told][:MOST]


def _near(user: Any, project: Project | None, projects: list[Project], found: dict,
          regions: list[Region]) -> list[Near]:
    """Of the chosen project's organization, or of all that the user sees."""
    if project is not None:
        projects = [one for one in projects if one.organization_id == project.organization_id]
    organizations = {one.organization_id for one in projects}
    whole = {pk for pk in organizations if user.grants.may_in_organization("project.view", pk)}
    return near_limits(found, projects, whole, regions)[:MOST]
