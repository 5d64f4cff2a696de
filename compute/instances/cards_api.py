"""REST of network cards that come to an instance and go from it while it is there."""
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances import cards
from compute.instances.errors import HasFloatingIp, InstanceLocked, NotSupported
from compute.network.api.fields import AddressField
from compute.network.errors import AddressInUse, SubnetFull, TooMany
from compute.network.models import Port, SecurityGroup, Subnet
from compute.network.operations.vpcs import MOST_GROUPS
from portal.kernel.errors import Unpaid
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import StrictSerializer, VisibleField
from portal.kernel.rest.views import accepted
from tenants.quotas import REFUSALS


class AttachPortSerializer(StrictSerializer):
    """A new card in a subnet, or a port made before."""

    example = {"subnet": id_of("subnet"), "ip": "10.0.0.9", "security_groups": [id_of("security_group")]}
    subnet = VisibleField(Subnet.objects.select_related("vpc"), required=False)
    ip = AddressField(required=False, help_text="Of a new card; without it the next free one.")
    security_groups = serializers.ListField(child=VisibleField(SecurityGroup), required=False, max_length=MOST_GROUPS, help_text=(
        "Of a new card; without it the project's default group."))
    port = VisibleField(Port.objects.select_related("subnet"), required=False, help_text=(
        "Instead of a subnet: it keeps its address and security groups, and outlives the instance."))



def card_of(body: dict[str, Any]) -> cards.Card:
    """What an attach body asks for."""
    groups = body.pop("security_groups", None)
    return cards.Card(groups=None if groups is None else tuple(groups), **body)


class DetachPortSerializer(StrictSerializer):
    example = {"port": id_of("port")}
    port = VisibleField(Port.objects.select_related("subnet"))


PERMISSIONS = dict.fromkeys(("attach_port", "detach_port"), cards.PERMISSION)
BODIES = {"attach_port": AttachPortSerializer, "detach_port": DetachPortSerializer}
ERRORS = {"attach_port": (*REFUSALS, InstanceLocked, NotSupported, Unpaid, TooMany, SubnetFull, AddressInUse),
          "detach_port": (InstanceLocked, NotSupported, HasFloatingIp, Unpaid)}


class HasCards:
    """What is done about an instance's network cards, for its viewset."""

    @action(detail=True, methods=["post"], url_path="actions/attach-port", url_name="attach-port")
    def attach_port(self, request: Request, pk: str) -> Response:
        """Give it one more network card, running or stopped: a new one in a subnet of its project, or a port made before. What
        runs gets it plugged in, and asks for its address by DHCP; how many fit in until the next start is limited."""
        return accepted(cards.attach(self.target, card_of(self.read_body()), actor=request.user), request)

    @action(detail=True, methods=["post"], url_path="actions/detach-port", url_name="detach-port")
    def detach_port(self, request: Request, pk: str) -> Response:
        """Take a network card away, once the guest has let go of it; one that does not within a minute keeps it, and the
        operation fails. A port made before is free again, another one is deleted with its address."""
        return accepted(cards.detach(self.target, self.read_body()["port"], actor=request.user), request)
