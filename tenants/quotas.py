"""Quotas: `reserve` is the only way to take. Sums of live rows under the organization's lock; no counters, no drift."""
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from portal.kernel.models import Region
from tenants.models import Organization, Project, Quota


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
    """Refuse (QuotaExceeded with facts) unless every ancestor has room; holds the organization's row until commit.

    Must run in the transaction that creates the rows: the lock is what makes sum-then-insert exact.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("reserve() needs the transaction of the change")
    Organization.objects.select_for_update(no_key=True).get(pk=project.organization_id)
    # A second statement, so that it sees what the previous holder of the lock committed.
    for line in lines(project, region, wanted):
        if line.wanted and not line.fits:
            raise QuotaExceeded(resource=line.resource, scope=line.scope, limit=line.limit, used=line.used,
                                wanted=line.wanted)


def lines(project: Project, region: Region, wanted: dict[str, int] | None = None) -> list[Line]:
    """Usage and limits of the project and everything above it, for all dimensions (or the wanted ones)."""
    wanted = wanted or {}
    names = list(wanted) or list(registry.dimensions)
    tree = list(Project.objects.filter(organization_id=project.organization_id).values_list("pk", "name", "path"))
    scopes = [(project.organization_id, project.organization.name, [pk for pk, _name, _path in tree])]
    for ancestor in project.ancestor_ids:
        below = [pk for pk, _name, path in tree if str(ancestor) in path]
        scopes.append((ancestor, next(name for pk, name, _path in tree if pk == ancestor), below))
    limits = _limits(project, region)
    return [Line(resource=name, scope=scope_name, scope_id=scope_id, limit=limits.get((scope_id, name)),
                 used=registry.dimensions[name].used(members, region), wanted=wanted.get(name, 0))
            for scope_id, scope_name, members in scopes for name in names
            if scope_id == project.pk or (scope_id, name) in limits]


def _limits(project: Project, region: Region) -> dict[tuple[UUID, str], int | None]:
    rows = Quota.objects.filter(region=region).filter(organization_id=project.organization_id) | Quota.objects.filter(
        region=region, project_id__in=project.ancestor_ids)
    return {(row.organization_id or row.project_id, row.dimension): row.limit for row in rows}
