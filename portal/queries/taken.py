"""What projects have and how near it comes to their limits, in one statement over all of them."""
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import CharField, Count, F, Q, QuerySet, Sum, UUIDField, Value
from django.db.models.functions import Cast, Coalesce

from compute.instances.models import ON_SCREEN, Instance, InstanceState
from compute.network.models import FloatingIp
from portal.kernel.composed import Composed
from portal.kernel.declarations import QuotaDimension, registry
from portal.kernel.models import Region, Resource
from portal.kernel.remembered import remembered
from storage.models import Volume
from tenants.models import Project, Quota

# Quota dimensions that count rows of a kind; those that sum something are read from the kind's own table below.
COUNTED = {"instance": "instances", "volume": "volumes", "vpc": "vpcs", "subnet": "subnets", "port": "ports",
           "security_group": "security_groups", "floating_ip": "floating_ips", "image": "images", "snapshot": "snapshots"}
DIMENSION = "dimension"
SUMMED = {"vcpus", "memory_mib", "volume_gib"}
NEAR = 0.8
Place = tuple[UUID, UUID | None]
"""A project's id and a region's; None for what is counted once for all regions."""
Taken = dict[Place, Counter]
"""What is taken at each place: quota dimensions, `present` (instances outside the recycle bin; quotas count all), and `running`,
`running_vcpus`, `running_memory_mib`, `attached`."""


@dataclass(frozen=True, kw_only=True)
class Near:
    """A limit of which four fifths or more are used."""

    dimension: str
    scope: str
    region: Region | None
    used: int
    limit: int

    @property
    def is_full(self) -> bool:
        return self.used >= self.limit


def taken(project_ids: Collection[UUID]) -> Taken:
    """What the projects have, by project and region."""
    return remembered(("taken", frozenset(project_ids)), lambda: _sums(list(project_ids)))


def _sums(project_ids: list[UUID]) -> Taken:
    found: Taken = defaultdict(Counter)
    readers = {"kernel.Resource": _of_kind, "instances.Instance": _of_instances,
               "storage.Volume": lambda _kind, gib, *_no: {"volume_gib": gib},
               "network.FloatingIp": lambda _kind, attached, *_no: {"attached": attached},
               DIMENSION: lambda name, amount, *_no: {name: amount}}
    for project, region, table, kind, *amounts in BY_PLACE.rows(projects=project_ids):
        found[project, region].update(readers[table](kind, *amounts))
    return dict(found)


def _by_place(projects: list[UUID]) -> QuerySet:
    live = {"project__any_of": projects, "deleted_at": None}
    parts = [_grouped(Resource, live, F("kind"), Count("pk"), Value(0), Value(0)),
             _grouped(Instance, live, F("state"), Count("pk"), Sum("vcpus"), Sum("memory_mib")),
             _grouped(Volume, live, Value(""), Sum("size_gib"), Value(0), Value(0)),
             _grouped(FloatingIp, live, Value(""), Count("pk", filter=Q(state=FloatingIp.State.ATTACHED)), Value(0), Value(0))]
    others = [one for one in registry.dimensions.values() if one.name not in {*COUNTED.values(), *SUMMED}]
    return parts[0].union(*parts[1:], *(_of_dimension(one, projects) for one in others), all=True)


def _grouped(model: Any, live: dict[str, Any], kind: Any, *amounts: Any) -> QuerySet:
    """A part of one statement over all tables: project, region, which table, kind or state, three sums."""
    rows = model.objects.filter(**live).values(of_project=F("project"), of_region=F("region"))
    return _columns(rows, model._meta.label, kind, *amounts)


def _of_dimension(one: QuotaDimension, projects: list[UUID]) -> QuerySet:
    """The same of what is no resource, or of no region: keys, operations, rules; as quotas count it."""
    owner = f"{one.owner}__" if one.owner else ""
    rows = one.rows().filter(**{f"{owner}project__any_of": projects}).values(
        of_project=F(f"{owner}project"), of_region=F(f"{owner}region") if one.regional else Cast(None, UUIDField()))
    amount = Sum(one.amount) if one.amount else Count("pk")
    return _columns(rows, DIMENSION, Value(one.name), amount, Value(0), Value(0))


def _columns(rows: QuerySet, table: str, what: Any, first: Any, second: Any, third: Any) -> QuerySet:
    rows = rows.order_by().annotate(table=Value(table), what=Cast(what, CharField()))
    return rows.annotate(first=first, second=second, third=third).values_list(
        "of_project", "of_region", "table", "what", "first", "second", "third")


BY_PLACE = Composed(_by_place, projects=list[UUID])


def _of_kind(kind: str, amount: int, *_no: int) -> dict[str, int]:
    return {COUNTED[kind]: amount} if kind in COUNTED else {}


def _of_instances(state: str, amount: int, vcpus: int, memory_mib: int) -> dict[str, int]:
    each = {"vcpus": vcpus, "memory_mib": memory_mib}
    if state in ON_SCREEN:
        return each | {"present": amount, "running": amount} | {f"running_{name}": value for name, value in each.items()}
    return each if state == InstanceState.RECYCLED else each | {"present": amount}


def total(found: Taken, project: Project | None = None) -> Counter:
    """Of one project, or of all."""
    return sum((amounts for (project_id, _region), amounts in found.items() if project is None or project_id == project.pk),
               Counter())


def near_limits(found: Taken, projects: list[Project], whole: Collection[UUID], regions: Iterable[Region]) -> list[Near]:
    """Limits of the projects, and of those organizations that are seen `whole`, which are nearly or fully used; worst first."""
    organizations = {project.organization_id: project.organization for project in projects
                     if project.organization_id in whole}
    limits = {(scope_id, region_id, dimension): limit for scope_id, region_id, dimension, limit in
              _limits_of(organizations, projects)}
    for pk, organization in organizations.items():
        places = {region for _project, region in found if region}
        for dimension, limit in settings.PLANS[organization.plan].items():
            for region in places if registry.dimensions[dimension].regional else (None,):
                limits.setdefault((pk, region, dimension), limit)
    members = _members(organizations, projects)
    names = {**organizations, **{project.pk: project for project in projects}}
    near = [(scope_id, region_id, dimension, used, limit) for (scope_id, region_id, dimension), limit in limits.items()
            if limit and dimension in registry.dimensions
            and (used := sum(found.get((pk, region_id), Counter())[dimension] for pk in members[scope_id])) >= NEAR * limit]
    places = {region.pk: region for region in regions}
    lines = [Near(dimension=dimension, scope=names[scope_id].name, region=region_id and places[region_id], used=used, limit=limit)
             for scope_id, region_id, dimension, used, limit in near]
    return sorted(lines, key=lambda line: -line.used / line.limit)


def _limits_of(organizations: dict[UUID, Any], projects: list[Project]) -> Iterable[tuple[UUID, UUID | None, str, int | None]]:
    return LIMITS.rows(organizations=list(organizations), projects=[one.pk for one in projects])


LIMITS = Composed(lambda organizations, projects: Quota.objects.filter(
    Q(organization__any_of=organizations) | Q(project__any_of=projects)).values_list(
    Coalesce("organization", "project"), "region", "dimension", "limit"), organizations=list[UUID], projects=list[UUID])


def _members(organizations: dict[UUID, Any], projects: list[Project]) -> dict[UUID, list[UUID]]:
    """Scope → the projects whose use counts against its limits."""
    found: dict[UUID, list[UUID]] = {pk: [] for pk in organizations}
    for project in projects:
        for scope in (*project.ancestor_ids, *([project.organization_id] if project.organization_id in organizations else [])):
            found.setdefault(scope, []).append(project.pk)
    return found
