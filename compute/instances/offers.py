"""What the create page offers somebody in a project: read once, in as many statements however much there is."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from billing.models import Price, PriceBook
from billing.money import Money
from compute.instances.models import InstanceType, SshKey
from compute.network.models import AddressPool, Fabric, SecurityGroup, Subnet
from portal.kernel.declarations import Meter, SkuRule
from portal.kernel.models import Region, Resource, Zone
from portal.kernel.remembered import LATELY_S, remembered
from portal.kernel.states import CLOCK
from storage.models import Image
from tenants.models import Project

MOST_IMAGES = 200


def _hidden(user: Any) -> QuerySet[InstanceType, str]:
    return InstanceType.objects.hidden_from(user).values("slug")


BILLED = {"running": _("running"), "stopped": _("stopped"), "paused": _("paused"), "suspended": _("suspended to disk"),
          "recycled": _("in the recycle bin")}
METERS = tuple(Meter(name=f"instance.{state}.{part}", label=format_lazy(label, state=word), unit=unit, price_unit=price_unit,
                     service="Instances", category="Compute")
               for state, word in BILLED.items() for part, label, unit, price_unit in (
                   ("vcpu", _("vCPU of a custom instance, {state}"), "vCPU-second", _("vCPU and hour")),
                   ("memory", _("Memory of a custom instance, {state}"), "GiB-second", _("GiB and hour"))))
"""What custom types are priced by, per vCPU and per GiB."""
SKUS = SkuRule(name="instance type", hidden=_hidden, meters=(
    *(f"instance.{state}" for state in BILLED), *(meter.name for meter in METERS)))
"""A restricted size is not named by its price either."""


@dataclass(kw_only=True)
class Offer:
    """The rows to choose from. Networks, keys and images are those of the project and region looked at."""

    project: Project | None
    region: Region | None
    projects: Sequence[Project]
    regions: Sequence[Region] = ()
    zones: Sequence[Zone] = ()
    images: Sequence[Image] = ()
    types: Sequence[InstanceType] = ()
    keys: Sequence[SshKey] = ()
    subnets: Sequence[Subnet] = ()
    groups: Sequence[SecurityGroup] = ()
    prices: dict[UUID, Money] = field(default_factory=dict)
    has_networks: bool = False
    has_public_network: bool = False


def offer(user: Any, projects: Sequence[Project], project: Project | None, region_id: object = None, *,
          lately: bool = False) -> Offer:
    """`projects` are those in which the user may create. The region is the one asked for, or the first, or None for nonsense.
    `lately`: only to be shown, so what a catalogue has may be some seconds old."""
    zones = _kept(("zones",), _zones, lately)
    regions = list({zone.region_id: zone.region for zone in zones}.values())
    region = next((one for one in regions if region_id in (None, "") or str(one.pk) == str(region_id)), None)
    found = Offer(project=project, region=region, projects=projects, regions=regions)
    if region is None:
        return found
    found.zones = [zone for zone in zones if zone.region_id == region.pk]
    region.has_fabric = found.zones[0].has_fabric
    found.has_networks = project is not None and region.has_fabric
    found.has_public_network = found.has_networks and found.zones[0].has_public
    found.images = _kept(("images", user.pk, region.pk, project and project.pk), lambda: images_of(user, project, region), lately)
    found.types = _kept(("types", region.pk, project and project.organization_id), lambda: _types(region, project), lately)
    found.prices = {kind.pk: Money(hourly, kind.currency) for kind in found.types if (hourly := _hourly(kind)) is not None}
    if project is not None:
        _own(user, found, project, region)
    return found


def _kept(what: tuple[Any, ...], rows: Callable[[], Any], lately: bool) -> list[Any]:
    return remembered(("offer", *what), lambda: list(rows()), least_s=LATELY_S) if lately else list(rows())


def _zones() -> Any:
    """Open ones of open regions, which know what networks there are."""
    here = OuterRef("region")
    return Zone.objects.filter(is_open=True, region__is_open=True).select_related("region").order_by(
        "region__name", "region", "name", "pk").annotate(
        has_fabric=Exists(Fabric.objects.filter(region=here)),
        has_public=Exists(AddressPool.objects.filter(region=here, is_open=True)))


def images_of(user: Any, project: Project | None, region: Region) -> QuerySet[Image]:
    """What starts something new there: its project's own, and public ones, which stand first; then the newest."""
    rows = Image.objects.visible_to(user).filter(Q(visibility=Image.Visibility.PUBLIC) | Q(project=project),
                                                 state=Image.State.ACTIVE, region=region)
    return rows.order_by("-visibility", "-created_at", "-pk")[:MOST_IMAGES]


def _types(region: Region, project: Project | None) -> Any:
    """Sizes for the project's organization, with what each alone costs an hour, running; custom ones by the vCPU and the GiB."""
    def price(meter: str) -> Subquery:
        rows = Price.objects.at(CLOCK).filter(book__is_default=True, region=region, meter=meter, sku=OuterRef("slug"))
        return Subquery(rows.values("price_per_hour")[:1])

    return InstanceType.objects.offered_to(*([project.organization_id] if project else [])).annotate(
        hourly=price("instance.running"), hourly_vcpu=price("instance.running.vcpu"),
        hourly_gib=price("instance.running.memory"),
        currency=Subquery(PriceBook.objects.filter(is_default=True).values("currency")[:1]))


def _hourly(kind: Any) -> Decimal | None:
    """Of a custom type what the least of it costs; None where a price is missing."""
    if not kind.is_custom:
        return kind.hourly
    if None in (kind.hourly_vcpu, kind.hourly_gib):
        return None
    return kind.hourly_vcpu * kind.vcpus + kind.hourly_gib * kind.memory_mib / 1024


def _own(user: Any, found: Offer, project: Project, region: Region) -> None:
    """SSH keys, subnets and security groups of the project, in one statement over all resources."""
    kinds = {SshKey.KIND: "sshkey.view", Subnet.KIND: "vpc.view", SecurityGroup.KIND: "securitygroup.view"}
    seen = [kind for kind, permission in kinds.items() if user.grants.may(permission, project.pk)]
    rows = Resource.objects.live().filter(Q(kind=SshKey.KIND) | Q(region=region), project=project, kind__in=seen)
    rows = list(rows.select_related("ssh_key", "as_subnet__vpc__pool", "as_security_group").order_by("name", "pk"))
    found.keys = [row.ssh_key for row in rows if row.kind == SshKey.KIND]
    found.groups = sorted((row.as_security_group for row in rows if row.kind == SecurityGroup.KIND),
                          key=lambda group: not group.is_default)
    found.subnets = sorted((row.as_subnet for row in rows if row.kind == Subnet.KIND), key=lambda subnet: (
        not subnet.vpc.is_default, subnet.vpc.name, str(subnet.vpc_id), subnet.cidr))
