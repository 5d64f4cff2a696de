"""What network bodies are made of: IPv4 networks and addresses, and instances, which are opaque here."""
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

from django.db.models import F
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute.network.models import Port
from portal.kernel.rest.problem import HIDDEN
from portal.kernel.rest.serializers import VisibleField

LONGEST = 50  # of any address or network, IPv6 too: what is longer is not looked at
NETWORK_SHAPE = re.compile(r"[0-9.]+/[0-9]{1,2}")


@extend_schema_field({"type": "string", "maxLength": 18, "example": "10.0.0.0/24"})
class CidrField(serializers.Field):
    """`10.0.0.0/24`; host bits are a mistake, never rounded off."""

    default_error_messages = {
        "invalid": _("This is not an IPv4 network such as 10.0.0.0/24."),
        "ipv6": _("IPv6 is not offered yet. Give an IPv4 network such as 10.0.0.0/24."),
        "host_bits": _("Bits are set behind the prefix. The network would be {network}."),
    }

    def to_internal_value(self, data: Any) -> IPv4Network:
        try:
            network = IPv4Network(data if is_short(data) and NETWORK_SHAPE.fullmatch(data) else "", strict=False)
        except ValueError:
            self.fail("ipv6" if is_ipv6(data) else "invalid")
        if IPv4Address(data.partition("/")[0]) != network.network_address:
            self.fail("host_bits", network=network)
        return network

    def to_representation(self, value: Any) -> str:
        return str(value)


@extend_schema_field({"type": "string", "format": "ipv4"})
class AddressField(serializers.Field):
    """`10.0.0.5`."""

    default_error_messages = {
        "invalid": _("This is not an IPv4 address such as 10.0.0.5."),
        "ipv6": _("IPv6 is not offered yet. Give an IPv4 address such as 10.0.0.5."),
    }

    def to_internal_value(self, data: Any) -> IPv4Address:
        try:
            return IPv4Address(data if is_short(data) else "")
        except ValueError:
            self.fail("ipv6" if is_ipv6(data) else "invalid")

    def to_representation(self, value: Any) -> str:
        return str(value)


def is_short(data: Any) -> bool:
    return isinstance(data, str) and len(data) <= LONGEST


def is_ipv6(data: Any) -> bool:
    try:
        IPv6Network(data if is_short(data) else "", strict=False)
    except ValueError:
        return False
    return True


class InstanceField(VisibleField):
    """An instance's id, answered by its first port without a floating IP (by the first one when all have). Who may see the
    port may name the instance."""

    lookup = "domain"
    default_error_messages = {HIDDEN: _("There is no such instance in a network, or you may not see it.")}

    def __init__(self, permission: str, **kwargs: Any) -> None:
        ports = Port.objects.order_by(F("floating_ip__pk").asc(nulls_first=True), "position", "pk")
        super().__init__(ports, permission, **kwargs)
