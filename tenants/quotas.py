"""Quotas: `reserve` is the only way to take. Sums of live rows under the organization's lock; no counters, no drift."""
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import transaction
from django.db.models import BigIntegerField, Count, Func, JSONField, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Coalesce

from portal.kernel.composed import Composed
from portal.kernel.declarations import QuotaDimension, registry
from portal.kernel.errors import PortalError, QuotaExceeded, Unpaid
from portal.kernel.models import Region
from portal.kernel.remembered import remembered
from tenants.errors import ProjectArchived
from tenants.models import Organization, Project, Quota
from tenants.standing import require_open

PROJECT, LIMIT = "project", "limit"
REFUSALS: tuple[type[PortalError], ...] = (QuotaExceeded, ProjectArchived, Unpaid)
"""What views declare whose verbs take something in a region: what `reserve` raises there, taking hooks included."""
Node = tuple[UUID, str, list[str]]
"""A project's id, name and path."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One dimension at one scope: what is allowed, used and wanted. `limit` None is unlimited."""

    resource: str
    scope: str
    scope_id: UUID
    limit: int | None
    used: int
    wanted: int = 0

    @property
    def fits(self) -> bool:
        return self.limit is None or self.used + self.wanted <= self.limit


def reserve(project: Project, region: Region | None, wanted: dict[str, int]) -> None:
    """Refuse (QuotaExceeded with facts) unless every ancestor has room; holds the organization's row until commit. Refuses
    (ProjectArchived, NotFound) in a project that takes nothing new, and where a room that declared a taking hook does.
    No region: all that is wanted is of none.

    Must run in the transaction that creates the rows: the lock is what makes sum-then-insert exact.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("reserve() needs the transaction of the change")
    require_open(project)
    # A later statement, so that it sees what the previous holder of the lock committed.
    for line in lines(project, region, wanted):
        if line.wanted and not line.fits:
            is_regional = registry.dimensions[line.resource].regional
            raise QuotaExceeded(resource=line.resource, scope=line.scope, limit=line.limit, used=line.used,
                                wanted=line.wanted, scope_id=str(line.scope_id),
                                region=str(region.pk) if region is not None and is_regional else None)
    for hook in registry.taking_hooks:
        hook(project, region, wanted)


def dimensions_of(region: Region | None) -> list[str]:
    """Those that are counted by region; with None those that are counted once for all regions."""
    return [name for name, one in registry.dimensions.items() if one.regional == (region is not None)]


def lines(project: Project, region: Region | None, wanted: dict[str, int] | None = None, *, lately: bool = False) -> list[Line]:
    """Usage and limits of the project and everything above it, for all dimensions of the region (or the wanted ones).

    `lately`: only to be shown, so where adding up takes long, what is used may be as old as `remembered` allows.
    """
    wanted = wanted or {}
    names = list(wanted) or dimensions_of(region)
    tree, limits = _tree_and_limits(project.organization, project.ancestor_ids, region)
    used = (_taken_lately if lately else taken)([pk for pk, _name, _path in tree], region, names)
    scopes = [(project.organization_id, project.organization.name, [pk for pk, _name, _path in tree])]
    for ancestor in project.ancestor_ids:
        below = [pk for pk, _name, path in tree if str(ancestor) in path]
        scopes.append((ancestor, next(name for pk, name, _path in tree if pk == ancestor), below))

    return [Line(resource=name, scope=scope_name, scope_id=scope_id, limit=limits.get((scope_id, name)),
                 used=sum(used[name, pk] for pk in members), wanted=wanted.get(name, 0))
            for scope_id, scope_name, members in scopes for name in names
            if scope_id == project.pk or (scope_id, name) in limits]


def organization_lines(organization: Organization, region: Region | None, *, lately: bool = False) -> list[Line]:
    """Usage and limits of the organization as a whole, for all dimensions of the region; `lately` as with `lines`."""
    tree, limits = _tree_and_limits(organization, [], region)
    used = (_taken_lately if lately else taken)([pk for pk, _name, _path in tree], region, names := dimensions_of(region))
    return [Line(resource=name, scope=organization.name, scope_id=organization.pk, limit=limits.get((organization.pk, name)),
                 used=sum(used[name, pk] for pk, _name, _path in tree)) for name in names]


def taken(projects: Collection[UUID], region: Region | None, names: Iterable[str]) -> Counter[tuple[str, UUID]]:
    """(dimension, project) → how much its live rows take. One statement, whatever the dimensions and projects are."""
    parts: dict[Part, list[QuotaDimension]] = {}
    for one in (registry.dimensions[name] for name in names):
        parts.setdefault((one.rows, f"{one.owner}__" if one.owner else "", one.regional), []).append(one)
    if not parts:
        return Counter()
    sums = _sums(tuple((part, tuple(one.amount for one in sorts)) for part, sorts in parts.items()))
    sorts_of = list(parts.values())
    return Counter({(one.name, project): amount
                    for number, project, amounts in sums.rows(
                        projects=list(projects), region=region and region.pk)
                    for one, amount in zip(sorts_of[number], amounts, strict=False)})


def _taken_lately(projects: Collection[UUID], region: Region | None, names: Iterable[str]) -> Counter[tuple[str, UUID]]:
    key = ("quota", frozenset(projects), region and region.pk, frozenset(names))
    return remembered(key, lambda: taken(projects, region, names))


Part = tuple[Callable[[], QuerySet], str, bool]
"""Rows that count, how a look-up comes from one of them to its owner, and whether they are of a region."""


class _Amounts(Func):
    """Several sums as one value, so that dimensions of the same rows are summed in one pass."""

    template, output_field = "ARRAY[%(expressions)s]", ArrayField(BigIntegerField())


@cache
def _sums(parts: tuple[tuple[Part, tuple[str, ...]], ...]) -> Composed:
    """The sums of these fields of these rows, composed once for each choice of dimensions that a verb makes."""

    def compose(projects: list[UUID], region: UUID) -> QuerySet:
        sums = []
        for number, ((rows, owner, regional), amounts) in enumerate(parts):
            where = {f"{owner}project__any_of": projects} | ({f"{owner}region": region} if regional else {})
            found = rows().filter(**where).order_by()
            total = _Amounts(*(Cast(Sum(amount) if amount else Count("pk"), BigIntegerField()) for amount in amounts))
            sums.append(found.values(f"{owner}project").annotate(total=total).values_list(
                Value(number), f"{owner}project", "total"))
        return sums[0].union(*sums[1:], all=True)

    return Composed(compose, projects=list[UUID], region=UUID)


def _tree_and_limits(organization: Organization, ancestors: list[UUID],
                     region: Region | None) -> tuple[list[Node], dict[tuple[UUID, str], int | None]]:
    """The organization's projects, and (scope, dimension) → limit: what its plan says, under what was set for it or the
    projects `ancestors`. One statement."""
    tree: list[Node] = []
    limits = {(organization.pk, name): limit for name, limit in settings.PLANS[organization.plan].items()}
    for what, pk, name, path, limit in PROJECTS_AND_LIMITS.rows(
            organization=organization.pk, ancestors=ancestors, region=region and region.pk):
        if what == PROJECT:
            tree.append((pk, name, json.loads(path)))
        else:
            limits[pk, name] = limit
    return tree, limits


def _projects_and_limits(organization: UUID, ancestors: list[UUID], region: UUID) -> QuerySet:
    projects = Project.objects.living().filter(organization=organization).order_by().values_list(
        Value(PROJECT), "pk", "name", "path", Cast(None, BigIntegerField()))
    above = Q(organization=organization) | Q(project__any_of=ancestors)
    quotas = Quota.objects.filter(above, Q(region=region) | Q(region=None)).order_by().values_list(
        Value(LIMIT), Coalesce("organization", "project"), "dimension", Cast(None, JSONField()), "limit")
    return projects.union(quotas, all=True)


PROJECTS_AND_LIMITS = Composed(_projects_and_limits, organization=UUID, ancestors=list[UUID], region=UUID)
