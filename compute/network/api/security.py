"""REST of security groups and their rules. A rule belongs to its group's project; it is made and deleted, never changed."""
from django.db.models import Prefetch
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute.network import operations
from compute.network.errors import InUse, NoNetwork, TooMany
from compute.network.models import SecurityGroup, SecurityGroupRule
from compute.network.operations.security import RuleExists
from portal.kernel.errors import StateConflict
from portal.kernel.models import Region
from portal.kernel.rest.serializers import DescribedSerializer, ResourceSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from tenants.api import VisibleProject
from tenants.quotas import REFUSALS

from .base import NetworkViewSet
from .fields import CidrField

Rule = SecurityGroupRule
LAST_PORT = 65535


class RuleSerializer(serializers.ModelSerializer):
    example = {"protocol": "tcp", "port_min": 443, "port_max": 443, "remote_cidr": "0.0.0.0/0", "remote_group": None,
               "description": "HTTPS"}
    security_group = serializers.UUIDField(source="group_id", read_only=True)
    remote_cidr = CidrField(read_only=True, allow_null=True)
    remote_group = serializers.UUIDField(source="remote_group_id", read_only=True, allow_null=True)

    class Meta:
        model = Rule
        fields = ("id", "security_group", "direction", "protocol", "port_min", "port_max", "remote_cidr", "remote_group",
                  "description", "created_at")
        read_only_fields = fields


class SecurityGroupSerializer(ResourceSerializer):
    example = {"name": "web", "is_default": False}
    rules = RuleSerializer(many=True, read_only=True)

    class Meta(ResourceSerializer.Meta):
        model = SecurityGroup
        fields = (*ResourceSerializer.Meta.fields, "is_default", "rules")
        read_only_fields = fields


class CreateSecurityGroupSerializer(DescribedSerializer):
    example = {"name": "web"}
    project = VisibleProject("securitygroup.manage")
    region = VisibleField(Region)


class CreateRuleSerializer(StrictSerializer):
    example = {"protocol": "tcp", "port_min": 443, "port_max": 443, "remote_cidr": "0.0.0.0/0"}
    security_group = VisibleField(SecurityGroup, "securitygroup.manage")
    direction = serializers.ChoiceField(choices=Rule.Direction.choices)
    protocol = serializers.ChoiceField(choices=Rule.Protocol.choices)
    port_min = serializers.IntegerField(min_value=1, max_value=LAST_PORT, required=False, allow_null=True)
    port_max = serializers.IntegerField(min_value=1, max_value=LAST_PORT, required=False, allow_null=True)
    remote_cidr = CidrField(required=False, allow_null=True)
    remote_group = VisibleField(SecurityGroup, required=False, allow_null=True)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)


class SecurityGroupViewSet(NetworkViewSet):
    """Named sets of rules for ports: what no rule allows is dropped."""

    queryset = SecurityGroup.objects.prefetch_related(Prefetch("rules", Rule.objects.all()))
    serializer_class = SecurityGroupSerializer
    permissions = {"list": "securitygroup.view", "retrieve": "securitygroup.view", "create": "securitygroup.manage",
                   "partial_update": "securitygroup.manage", "destroy": "securitygroup.manage"}
    bodies = {**NetworkViewSet.bodies, "create": CreateSecurityGroupSerializer}
    answers = {"create": (201, SecurityGroupSerializer), "destroy": (204, None)}
    errors = {"create": (*REFUSALS, NoNetwork), "destroy": (InUse,)}
    filters = {"is_default": "is_default"}

    def create(self, request: Request) -> Response:
        """A group that lets everything out and nothing in, until rules are added."""
        return self.created(operations.create_group(**self.read_body(), actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the group with its rules; refused while ports have it or other groups name it."""
        operations.delete_group(self.target, actor=request.user)
        return Response(status=204)


class SecurityGroupRuleViewSet(Listed, Fetched, RoomViewSet):
    """What a security group allows; at work within two seconds."""

    queryset = Rule.objects.select_related("group")
    serializer_class = RuleSerializer
    permissions = {"list": "securitygroup.view", "retrieve": "securitygroup.view", "create": "securitygroup.manage",
                   "destroy": "securitygroup.manage"}
    bodies = {"create": CreateRuleSerializer}
    answers = {"create": (201, RuleSerializer), "destroy": (204, None)}
    errors = {"create": (*REFUSALS, RuleExists, TooMany, StateConflict)}
    filters = {"project": "group__project", "region": "group__region", "security_group": "group", "direction": "direction",
               "protocol": "protocol", "remote_group": "remote_group"}
    search_fields = ("description",)

    def create(self, request: Request) -> Response:
        """One more permission. Without ports: all of the protocol; without a remote: everybody."""
        body = self.read_body()
        return self.shown(operations.add_rule(body.pop("security_group"), **body, actor=request.user), 201)

    def destroy(self, request: Request, pk: str) -> Response:
        """Allow it no more, connections under way included."""
        operations.delete_rule(self.target, actor=request.user)
        return Response(status=204)
