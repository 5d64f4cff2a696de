"""Search over everything that has a row in Resource: by parts of its name, the beginning of its id, or an address.

Each kind is looked for only in projects that grant its permission. A fixed number of statements, whatever is found; names
are found through the trigram index `resource_name_parts`. Ranking looks at the first CANDIDATES only, so that a word
that half the region has in its names costs no more than a rare one.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from compute.instances.models import Instance
from compute.network.models import FloatingIp, Port, Subnet
from portal.kernel.declarations import ResourceKind, registry
from portal.kernel.models import Resource
from tenants.models import Project

LIMIT, MOST = 12, 50
CANDIDATES = 200
MOST_WORDS, LONGEST = 4, 100
LEAST_OF_AN_ID = 4
SHORTEST_PART = 3  # a shorter word has no trigram of its own: it is looked for at the beginning of names


@dataclass(frozen=True, kw_only=True)
class Found:
    """One thing that fits: what it is, where its page and its row in the API are, and why it fits when not by name."""

    kind: ResourceKind
    id: UUID
    name: str
    project_id: UUID
    project_name: str
    """Empty for who may see the resource but not its project (a narrow API key)."""
    url: str
    api: str
    address: str = ""


def find(user: Any, text: str, limit: int = LIMIT) -> list[Found]:
    """The best matches first; at most `limit`. An empty text finds nothing."""
    words = text.strip()[:LONGEST].split()[:MOST_WORDS]
    if not words:
        return []
    visible = _visible(user)
    rows = {row.pk: row for row in _matches(visible, words)}
    addresses = _by_address(user, visible, words[0]) if len(words) == 1 else {}
    rows |= {row.pk: row for row in addresses.values()}
    ranked = sorted(rows.values(), key=lambda row: _rank(row, " ".join(words), row.pk in addresses))[:limit]
    names = dict(Project.objects.visible_to(user).filter(pk__in={row.project_id for row in ranked}).values_list("pk", "name"))
    return [_found(row, names.get(row.project_id, ""), words[0] if row.pk in addresses else "") for row in ranked]


def _visible(user: Any) -> QuerySet[Resource]:
    """Live rows of the kinds that have a page or an address, each where its own permission is held."""
    kinds = [kind for kind in registry.kinds.values() if kind.name != Port.KIND]
    if user.grants.sees_everything:
        return Resource.objects.live().filter(kind__in=[kind.name for kind in kinds])
    by_projects: dict[frozenset[UUID], list[str]] = {}
    for kind in kinds:
        by_projects.setdefault(frozenset(user.grants.projects(kind.permission)), []).append(kind.name)
    allowed = Q(pk__in=[])
    for projects, names in by_projects.items():
        allowed |= Q(kind__in=names, project_id__in=projects)
    return Resource.objects.live().filter(allowed)


def _matches(visible: QuerySet[Resource], words: list[str]) -> Iterable[Resource]:
    """What is named exactly so, what has all words in its name, and what has the id: one statement."""
    rows = visible.only("id", "kind", "name", "project_id", "created_at")
    parts = rows
    for word in words:
        is_short = len(word) < SHORTEST_PART and word.isascii()
        parts = parts.filter(name__istartswith=word) if is_short and len(words) == 1 else parts.filter(name__icontains=word)
    further = [parts[:CANDIDATES]]
    span = _ids_from(words[0]) if len(words) == 1 else None
    if span:
        further.append(rows.filter(pk__range=span)[:MOST])
    return rows.filter(name__iexact=" ".join(words))[:MOST].union(*further)


def _ids_from(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that begin with the text; None when it cannot begin one."""
    digits = text.replace("-", "").lower()
    if not LEAST_OF_AN_ID <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _by_address(user: Any, visible: QuerySet[Resource], text: str) -> dict[UUID, Resource]:
    """Instances with this private address, subnet by subnet (which is how addresses are indexed), and the floating IP."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return {}
    subnets = Subnet.objects.visible_to(user).values("pk")
    owners = Port.objects.visible_to(user).filter(subnet__in=subnets, ip=str(address)).values("domain")
    public = FloatingIp.objects.visible_to(user).filter(allocation__address=str(address)).values("pk")
    # Ids first: as part of the next statement PostgreSQL would look at every resource for them.
    found = [row[0] for row in owners.values_list("domain").union(public.values_list("pk"))]
    return {row.pk: row for row in visible.filter(kind__in=[Instance.KIND, FloatingIp.KIND], pk__in=found)[:MOST]}


def _rank(row: Resource, text: str, has_address: bool) -> tuple[Any, ...]:
    """Exactly so named, then beginning with it, then shorter names, then newer."""
    name, wanted = row.name.casefold(), text.casefold()
    place = 0 if name == wanted or has_address else 1 if name.startswith(wanted) else 2
    return place, len(name), -row.created_at.timestamp()


def _found(row: Resource, project_name: str, address: str) -> Found:
    kind = registry.kinds[row.kind]
    return Found(kind=kind, id=row.pk, name=row.name, project_id=row.project_id, project_name=project_name,
                 url=page_of(row) or "", address=address,
                 api=reverse(kind.api, args=[row.pk]) if kind.api else "")


def page_of(row: Resource) -> str | None:
    """The resource's page; the list filtered by its name while its kind has no page; None without either."""
    kind = registry.kinds[row.kind]
    try:
        if kind.page:
            return reverse(kind.page, args=[row.pk])
        return f"{reverse(f'{row.kind}s:list')}?{urlencode({'name': row.name})}"
    except NoReverseMatch:
        return None
