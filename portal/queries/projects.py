"""The tree of projects as its page shows it, and the page of one of them."""
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Q
from django.urls import reverse

from billing.costs import this_month
from billing.money import Money, together
from billing.trees import costs_in_tree, costs_of
from portal.kernel.declarations import registry
from portal.kernel.models import Region
from portal.kernel.remembered import remembered
from portal.templatetags.ui import kind_label
from tenants import quotas
from tenants.errors import NotEmpty
from tenants.models import ApiKey, Organization, Project, ServiceUser

from .taken import taken, total

MOST = 250
OPERATION = "operation"


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A line of the tree. `depth` counts what is visible above it; `cost` by currency, None where usage may not be seen or
    there is none."""

    project: Project
    depth: int
    instances: int
    running: int
    cost: list[Money] | None
    is_archived: bool
    """By itself or by what is above it."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """An organization's projects, parents before their children."""

    organization: Organization
    branches: list[Branch]


def trees(user: Any, *, now: datetime) -> tuple[list[Tree], bool]:
    """What `user` sees, by organization, and whether there is more. As many statements however many projects there are."""
    rows = Project.objects.visible_to(user).select_related("organization")
    found = list(rows.order_by("organization__name", "organization_id", "name", "pk")[:MOST + 1])
    projects = found[:MOST]
    month, own = this_month(now), Counter()
    for (pk, _region), amounts in taken([one.pk for one in projects]).items():
        own.update({(pk, name): amounts[name] for name in ("present", "running")})
    payable = frozenset(one.pk for one in projects if user.grants.may("usage.view", one.pk))
    costs = remembered(("project costs", month, payable),
                       lambda: costs_of(payable, start=month.start, end=month.end, now=now)) if payable else {}
    return [Tree(organization=organization, branches=[
        Branch(project=one, depth=depth, cost=costs.get(one.pk), is_archived=is_archived,
               instances=own[one.pk, "present"], running=own[one.pk, "running"])
        for one, depth, is_archived in _in_order(list(members))])
        for organization, members in groupby(projects, key=lambda one: one.organization)], len(found) > MOST


def _in_order(projects: list[Project]) -> Iterable[tuple[Project, int, bool]]:
    """Each below the nearest one above it that is among them, with its depth."""
    known, children = {one.pk for one in projects}, {}
    for one in projects:
        above = [pk for pk in one.ancestor_ids[:-1] if pk in known]
        children.setdefault(above[-1] if above else None, []).append(one)

    def walk(parent: UUID | None, depth: int, is_archived: bool) -> Iterable[tuple[Project, int, bool]]:
        for one in children.get(parent, ()):
            archived = is_archived or one.archived_at is not None
            yield one, depth, archived
            yield from walk(one.pk, depth + 1, archived)

    return walk(None, 0, False)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The first part of a project's page. Costs are of this month, by currency; none where usage may not be seen."""

    has: Any
    own_cost: list[Money] | None
    tree_cost: list[Money]
    above: list[Project]
    children: list[Project]

    @property
    def archived_above(self) -> Project | None:
        """What is above it and archived, so that nothing new is made here."""
        return next((one for one in self.above if one.archived_at is not None), None)


def overview(user: Any, project: Project, *, now: datetime) -> Overview:
    near = Project.objects.visible_to(user).filter(Q(pk__in=project.ancestor_ids[:-1]) | Q(parent=project))
    near = list(near.order_by("name", "pk"))
    known, costs = {one.pk: one for one in near}, {}
    if user.grants.may("usage.view", project.pk):
        month = this_month(now)
        costs = remembered(("tree costs", month, project.pk),
                           lambda: costs_in_tree(project, start=month.start, end=month.end, now=now))
    return Overview(has=total(taken([project.pk])), own_cost=costs.get(project.pk),
                    tree_cost=together(one for amounts in costs.values() for one in amounts),
                    above=[known[pk] for pk in project.ancestor_ids[:-1] if pk in known],
                    children=[one for one in near if one.parent_id == project.pk])


def limits(scope: Organization | Project, chosen: Region | None) -> list[tuple[Region | None, list[quotas.Line]]]:
    """What it uses, in the chosen region or in each, of what it and those above it may use; at last, without a region, what is
    counted once for all."""
    read = quotas.lines if isinstance(scope, Project) else quotas.organization_lines
    regions = [chosen] if chosen else Region.objects.order_by("name", "pk")
    return [(region, read(scope, region, lately=True)) for region in (*regions, None)]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Something that keeps a project from being deleted; `url` empty when it has no page."""

    name: str
    kind: str
    project: str
    url: str


def obstacles(error: NotEmpty) -> list[Obstacle]:
    """What the error names, with pages."""
    return [Obstacle(name=kind_label(item["name"]) if item["kind"] == OPERATION else item["name"], kind=item["kind"],
                     project=item["project_name"], url=_page_of(item["kind"], item["id"])) for item in error.facts["items"]]


def _page_of(kind: str, pk: str) -> str:
    declared = registry.kinds.get(kind)
    name = "operations:detail" if kind == OPERATION else declared.page if declared else None
    return reverse(name, args=[pk]) if name else ""


MOST_PROGRAMS = 100


def programs(user: Any, project: Project) -> list[ServiceUser]:
    """Service users of the project, each with how many keys it can use, and when one last was."""
    usable = Q(user__api_keys__in=ApiKey.objects.usable())
    rows = ServiceUser.objects.visible_to(user).filter(project=project).select_related("user")
    rows = rows.annotate(keys=Count("user__api_keys", filter=usable), last_used_at=Max("user__api_keys__last_used_at"))
    return list(rows.order_by("name", "pk")[:MOST_PROGRAMS])
