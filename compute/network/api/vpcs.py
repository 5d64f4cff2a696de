"""REST of VPCs, subnets and ports."""
from typing import Any
from uuid import UUID

from django.db.models import F, Prefetch, Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute.network import operations
from compute.network.errors import AddressInUse, CidrOverlaps, InUse, NoNetwork, PoolFull, SubnetFull, TooMany
from compute.network.models import Port, SecurityGroup, Subnet, Vpc
from compute.network.operations.vpcs import lock_groups
from portal.kernel.errors import Locked, StateConflict
from portal.kernel.guards import hold
from portal.kernel.models import Region
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import DescribedSerializer, RenameSerializer, ResourceSerializer, VisibleField
from tenants.api import VisibleProject
from tenants.quotas import REFUSALS

from .base import NetworkViewSet
from .fields import AddressField, CidrField

MOST_NAME_SERVERS = 4
MOST_GROUPS = 10
VPC_STATES = {"pending": Q(applied_revision__lt=F("revision")), "active": Q(applied_revision__gte=F("revision"))}
PORT_STATES = {"idle": Q(domain=None), "up": Q(domain__isnull=False, is_up=True),
               "down": Q(domain__isnull=False) & (Q(is_up=False) | Q(is_up=None))}


def choice(states: dict[str, Q]) -> serializers.ChoiceField:
    """A state that is told and filtered by, and never set."""
    return serializers.ChoiceField(choices=list(states), read_only=True)


# -- what is read --

class VpcSerializer(ResourceSerializer):
    example = {"name": "shop", "router_address": "198.51.100.9"}
    cidr = CidrField(read_only=True)
    state = choice(VPC_STATES)
    router_address = serializers.IPAddressField(read_only=True, allow_null=True, protocol="ipv4")

    class Meta(ResourceSerializer.Meta):
        model = Vpc
        fields = (*ResourceSerializer.Meta.fields, "cidr", "is_default", "state", "router_address")
        read_only_fields = fields


class SubnetSerializer(ResourceSerializer):
    example = {"name": "shop-a", "gateway": "10.0.0.1", "dns": ["9.9.9.9"]}
    vpc = serializers.UUIDField(source="vpc_id", read_only=True)
    cidr = CidrField(read_only=True)

    class Meta(ResourceSerializer.Meta):
        model = Subnet
        fields = (*ResourceSerializer.Meta.fields, "vpc", "cidr", "gateway", "dhcp", "dns")
        read_only_fields = fields


class PortSerializer(ResourceSerializer):
    subnet = serializers.UUIDField(source="subnet_id", read_only=True)
    vpc = serializers.UUIDField(source="subnet.vpc_id", read_only=True)
    instance = serializers.UUIDField(source="domain", read_only=True, allow_null=True)
    state = choice(PORT_STATES)
    security_groups = serializers.SerializerMethodField()
    floating_ip = serializers.SerializerMethodField()

    class Meta(ResourceSerializer.Meta):
        model = Port
        fields = (*ResourceSerializer.Meta.fields, "subnet", "vpc", "mac", "ip", "instance", "state", "security_groups",
                  "floating_ip")
        read_only_fields = fields

    example = {"name": "web-1 card", "ip": "10.0.0.5", "security_groups": [id_of("security_group")],
               "floating_ip": id_of("floating_ip")}

    def get_security_groups(self, port: Port) -> list[UUID]:
        return [group.pk for group in port.groups.all()]

    def get_floating_ip(self, port: Port) -> UUID | None:
        floating = getattr(port, "floating_ip", None)
        return floating and floating.pk


# -- what is written --

class CreateVpcSerializer(DescribedSerializer):
    example = {"name": "shop", "cidr": "10.0.0.0/16"}
    project = VisibleProject("vpc.manage")
    region = VisibleField(Region)
    cidr = CidrField(required=False)


class CreateSubnetSerializer(DescribedSerializer):
    example = {"name": "shop-a", "cidr": "10.0.0.0/24"}
    vpc = VisibleField(Vpc, "vpc.manage")
    cidr = CidrField()
    gateway = AddressField(required=False)
    dhcp = serializers.BooleanField(required=False)
    dns = serializers.ListField(child=AddressField(), required=False, max_length=MOST_NAME_SERVERS)


class CreatePortSerializer(DescribedSerializer):
    example = {"name": "web-1 card", "ip": "10.0.0.5"}
    subnet = VisibleField(Subnet, "vpc.manage")
    ip = AddressField(required=False)
    security_groups = serializers.ListField(child=VisibleField(SecurityGroup), required=False, max_length=MOST_GROUPS)


class ChangePortSerializer(RenameSerializer):
    security_groups = serializers.ListField(child=VisibleField(SecurityGroup), required=False, max_length=MOST_GROUPS)


# -- viewsets --

class VpcViewSet(NetworkViewSet):
    """Private networks, each with a router of its own."""

    queryset = Vpc.objects.select_related("allocation")
    serializer_class = VpcSerializer
    permissions = {"list": "vpc.view", "retrieve": "vpc.view", "create": "vpc.manage", "partial_update": "vpc.manage",
                   "destroy": "vpc.manage"}
    bodies = {**NetworkViewSet.bodies, "create": CreateVpcSerializer}
    answers = {"create": (201, VpcSerializer), "destroy": (204, None)}
    errors = {"create": (*REFUSALS, CidrOverlaps, NoNetwork, PoolFull), "destroy": (InUse,)}
    filters = {"cidr": "cidr", "is_default": "is_default"}
    conditions = {"state": VPC_STATES}

    def create(self, request: Request) -> Response:
        """A private network (10.0.0.0/16 unless told otherwise); `active` once the hosts know it."""
        return self.created(operations.create_vpc(**self.read_body(), actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the VPC with its subnets; refused while ports are in it."""
        operations.delete_vpc(self.target, actor=request.user)
        return Response(status=204)


class SubnetViewSet(NetworkViewSet):
    """Ranges of VPCs, in which ports get addresses."""

    queryset = Subnet.objects.all()
    serializer_class = SubnetSerializer
    permissions = VpcViewSet.permissions
    bodies = {**NetworkViewSet.bodies, "create": CreateSubnetSerializer}
    answers = {"create": (201, SubnetSerializer), "destroy": (204, None)}
    errors = {"create": (*REFUSALS, CidrOverlaps, TooMany, StateConflict), "destroy": (InUse,)}
    filters = {"vpc": "vpc", "cidr": "cidr", "gateway": "gateway", "dhcp": "dhcp"}

    def vpc_of(self, row: Subnet) -> UUID:
        return row.vpc_id

    def create(self, request: Request) -> Response:
        """A range of the VPC; the gateway is its first address unless told otherwise."""
        body = self.read_body()
        return self.created(operations.create_subnet(body.pop("vpc"), **body, actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the subnet; refused while ports are in it."""
        operations.delete_subnet(self.target, actor=request.user)
        return Response(status=204)


class PortViewSet(NetworkViewSet):
    """Network cards: an address in a subnet, for an instance or to be given to one."""

    # A reverse one-to-one between two kinds of resources: Django's `select_related` leaves out what they inherit.
    queryset = Port.objects.select_related("subnet").prefetch_related(
        "floating_ip", Prefetch("groups", SecurityGroup.objects.order_by("name", "pk")))
    serializer_class = PortSerializer
    permissions = VpcViewSet.permissions
    bodies = {"create": CreatePortSerializer, "partial_update": ChangePortSerializer}
    answers = {"create": (201, PortSerializer), "destroy": (204, None)}
    errors = {"create": (*REFUSALS, AddressInUse, SubnetFull, TooMany, NoNetwork, StateConflict), "partial_update": (Locked,)}
    filters = {"vpc": "subnet__vpc", "subnet": "subnet", "instance": "domain", "security_group": "groups", "ip": "ip",
               "mac": "mac"}
    conditions = {"state": PORT_STATES}
    search_fields = ("name", "description", "ip", "mac")

    def vpc_of(self, row: Port) -> UUID:
        return row.subnet.vpc_id

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        found = super().filter_queryset(queryset)
        # A port that has two of the groups asked for is still one port.
        return found.distinct() if "security_group" in self.request.query_params else found

    def matched(self, request: Request, target: Port) -> Port:
        """The groups that it is to have are locked before its VPC."""
        if "If-Match" in request.headers and self.action == "partial_update":
            hold(target.domain)
            lock_groups(*self.read_body().get("security_groups", ()))
        return super().matched(request, target)

    def create(self, request: Request) -> Response:
        """A port with the wanted or the lowest free address; in the project's default security group unless told otherwise."""
        body = self.read_body()
        subnet = body.pop("subnet")
        groups = body.pop("security_groups", None)
        if groups is None:
            groups = [operations.default_group(subnet.project, subnet.region, actor=request.user)]
        return self.created(operations.create_port(subnet, groups, **body, actor=request.user))

    def change(self, changes: dict[str, Any]) -> None:
        groups = changes.pop("security_groups", None)
        if groups is not None:
            operations.set_groups(self.target, groups, actor=self.request.user)
        if changes:
            super().change(changes)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the port; refused while an instance has it. Its floating IP stays yours."""
        operations.delete_port(self.target, actor=request.user)
        return Response(status=204)
