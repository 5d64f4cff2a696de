"""What every project finds there: a default VPC with a subnet, and a default security group, in each region with networks."""
from contextlib import suppress
from ipaddress import IPv4Network

from django.db import transaction

from compute.network.models import Fabric, SecurityGroup, Subnet, Vpc
from compute.network.operations.security import DEFAULT_RULES, create_group, end_group
from compute.network.operations.vpcs import DEFAULT_CIDR, create_subnet, create_vpc, delete_vpc
from portal.kernel.errors import PortalError
from portal.kernel.models import Region
from tenants.models import Organization, Project

DEFAULT_SUBNET = IPv4Network("10.0.0.0/20")


def make_defaults(project: Project, actor) -> None:
    """For a new project: as much as its quota and the pools allow; the rest comes with its first instance or never."""
    for fabric in Fabric.objects.filter(region__is_open=True).select_related("region"):
        try:
            with transaction.atomic():
                default_group(project, fabric.region, actor=actor)
                default_subnet(project, fabric.region, actor=actor)
        except PortalError:  # a project without a VPC is better than no project
            continue


def end_defaults(project: Project, actor) -> None:
    """For a project that is deleted: what it was given goes as far as nothing uses it. What is used stays, and so does it.

    The caller holds the organization, which comes after groups: one that somebody else holds is about to be used.
    """
    for vpc in Vpc.objects.live().filter(project=project, is_default=True).order_by("pk"):
        with suppress(PortalError), transaction.atomic():
            delete_vpc(vpc, actor=actor)
    groups = SecurityGroup.objects.live().filter(project=project, is_default=True).order_by("pk")
    for group in groups.select_for_update(of=("self",), no_key=True, skip_locked=True):
        with suppress(PortalError), transaction.atomic():
            end_group(group, actor=actor)


@transaction.atomic
def default_subnet(project: Project, region: Region, *, actor) -> Subnet | None:
    """The project's default subnet in the region, made when there is no default VPC. None in a region without networks.

    Raises what making it may: QuotaExceeded, PoolFull.
    """
    if not Fabric.objects.filter(region=region).exists():
        return None
    found = _default_vpc(project, region)
    if found is None:
        # Two orders at once make one: whoever comes second finds the first's.
        Organization.objects.select_for_update(no_key=True).get(pk=project.organization_id)
        found = _default_vpc(project, region) or create_vpc(project, region, name="default", actor=actor, is_default=True)
    subnet = Subnet.objects.live().filter(vpc=found).order_by("created_at", "pk").first()
    return subnet or create_subnet(found, name="default", cidr=_first_range(found), actor=actor)


def _default_vpc(project: Project, region: Region) -> Vpc | None:
    return Vpc.objects.live().filter(project=project, region=region, is_default=True).order_by("created_at").first()


def _first_range(vpc: Vpc) -> IPv4Network:
    return DEFAULT_SUBNET if vpc.cidr == DEFAULT_CIDR else vpc.cidr


@transaction.atomic
def default_group(project: Project, region: Region, *, actor) -> SecurityGroup:
    """The project's default security group in the region, made when there is none."""
    rows = SecurityGroup.objects.live().filter(project=project, region=region, is_default=True).order_by("created_at")
    found = rows.first()
    if found is None:
        # Two at once make one. Not under the organization's lock, which comes after those of groups.
        Project.objects.select_for_update(of=("self",), no_key=True).get(pk=project.pk)
        found = rows.first() or create_group(project, region, name="default", actor=actor, is_default=True,
                                             description="SSH, HTTP, ping", rules=DEFAULT_RULES)
    return found
