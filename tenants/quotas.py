"""Quotas: `reserve` is the only way to take. Sums of live rows under the organization's lock; no counters, no drift."""
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import BigIntegerField, JSONField, Q, Value
from django.db.models.functions import Cast, Coalesce

from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from portal.kernel.models import Region
from tenants.models import Project, Quota
from tenants.standing import require_open

PROJECT, LIMIT = "project", "limit"
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


def reserve(project: Project, region: Region, wanted: dict[str, int]) -> None:
    """Refuse (QuotaExceeded with facts) unless every ancestor has room; holds the organization's row until commit. Refuses
    (ProjectArchived, NotFound) in a project that takes nothing new.

    Must run in the transaction that creates the rows: the lock is what makes sum-then-insert exact.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("reserve() needs the transaction of the change")
    require_open(project)
    # A later statement, so that it sees what the previous holder of the lock committed.
    for line in lines(project, region, wanted):
        if line.wanted and not line.fits:
            raise QuotaExceeded(resource=line.resource, scope=line.scope, limit=line.limit, used=line.used,
                                wanted=line.wanted)


def lines(project: Project, region: Region, wanted: dict[str, int] | None = None) -> list[Line]:
    """Usage and limits of the project and everything above it, for all dimensions (or the wanted ones)."""
    wanted = wanted or {}
    names = list(wanted) or list(registry.dimensions)
    tree, limits = _tree_and_limits(project, region)
    scopes = [(project.organization_id, project.organization.name, [pk for pk, _name, _path in tree])]
    for ancestor in project.ancestor_ids:
        below = [pk for pk, _name, path in tree if str(ancestor) in path]
        scopes.append((ancestor, next(name for pk, name, _path in tree if pk == ancestor), below))

    @cache  # an organization with one project: what they use is the same
    def used(name: str, *members: UUID) -> int:
        return registry.dimensions[name].used(members, region)

    return [Line(resource=name, scope=scope_name, scope_id=scope_id, limit=limits.get((scope_id, name)),
                 used=used(name, *members), wanted=wanted.get(name, 0))
            for scope_id, scope_name, members in scopes for name in names
            if scope_id == project.pk or (scope_id, name) in limits]


def _tree_and_limits(project: Project, region: Region) -> tuple[list[Node], dict[tuple[UUID, str], int | None]]:
    """The organization's projects, and (scope, dimension) → limit: what its plan says, under what was set for it or its
    projects. One statement."""
    projects = Project.objects.living().filter(organization_id=project.organization_id).order_by().values_list(
        Value(PROJECT), "pk", "name", "path", Cast(None, BigIntegerField()))
    above = Q(organization_id=project.organization_id) | Q(project_id__in=project.ancestor_ids)
    quotas = Quota.objects.filter(above, region=region).order_by().values_list(
        Value(LIMIT), Coalesce("organization", "project"), "dimension", Cast(None, JSONField()), "limit")
    tree: list[Node] = []
    limits = {(project.organization_id, name): limit for name, limit in settings.PLANS[project.organization.plan].items()}
    for what, pk, name, path, limit in projects.union(quotas, all=True):
        if what == PROJECT:
            tree.append((pk, name, path))
        else:
            limits[pk, name] = limit
    return tree, limits
