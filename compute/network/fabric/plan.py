"""What the portal wants of a network, in its own words: frozen values, computed under the VPC's lock.

Nothing about OVN may live here (`design` has every opinion), nor a Django model.
"""
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal
from uuid import UUID

Direction = Literal["ingress", "egress"]
Protocol = Literal["tcp", "udp", "icmp", "any"]


@dataclass(frozen=True, kw_only=True)
class PublicPlan:
    """A network to the outside, of which floating IPs and routers' addresses are taken. `physical_network` is the
    name that hosts map to a bridge of theirs."""

    id: UUID
    name: str
    cidr: IPv4Network
    gateway: IPv4Address
    physical_network: str
    revision: int = 1


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """What may pass, seen from the instance. Without ports: all of the protocol; without a remote: everybody.
    For `icmp` the ports are type and code."""

    id: UUID
    direction: Direction
    protocol: Protocol
    port_min: int | None = None
    port_max: int | None = None
    remote_cidr: IPv4Network | None = None
    remote_group: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """A security group. One that is named as a remote must be in the plan, even when no port is in it."""

    id: UUID
    rules: tuple[GroupRule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PortPlan:
    """An instance's NIC. A port in no group lets nothing in or out."""

    id: UUID
    mac: str
    ip: IPv4Address
    subnet: UUID
    groups: frozenset[UUID] = frozenset()
    hostname: str = ""
    is_enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class SubnetPlan:
    """`gateway` is the router's address in it. Without `dns`, guests are told to ask the gateway, where only the
    VPC's own names are known."""

    id: UUID
    cidr: IPv4Network
    gateway: IPv4Address
    has_dhcp: bool = True
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""


@dataclass(frozen=True, kw_only=True)
class FloatingPlan:
    """A floating IP that is associated with a port of this VPC."""

    id: UUID
    address: IPv4Address
    port: UUID


@dataclass(frozen=True, kw_only=True)
class GatewayPlan:
    """The way out: the VPC's own address on the public network, and the hosts that may carry its traffic."""

    public: PublicPlan
    address: IPv4Address
    chassis: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VpcPlan:
    """All that one VPC shall be at `revision`."""

    id: UUID
    revision: int
    subnets: tuple[SubnetPlan, ...] = ()
    ports: tuple[PortPlan, ...] = ()
    groups: tuple[GroupPlan, ...] = ()
    floating: tuple[FloatingPlan, ...] = ()
    gateway: GatewayPlan | None = None
