"""Plans for tests: small, with ids that follow from names, so that they are the same in every run."""
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from compute.network.fabric.plan import (
    FloatingPlan,
    GatewayPlan,
    GroupPlan,
    GroupRule,
    PortPlan,
    PublicPlan,
    SubnetPlan,
    VpcPlan,
)

CHASSIS = ("h1", "h2", "h3")
ip, net = IPv4Address, IPv4Network


def uid(name: str) -> UUID:
    return uuid5(NAMESPACE_DNS, name)


def public(name: str = "public", revision: int = 1) -> PublicPlan:
    return PublicPlan(id=uid(name), name=name, cidr=net("198.18.7.0/24"), gateway=ip("198.18.7.1"),
                      physical_network="public", revision=revision)


def subnet(name: str, cidr: str, **more: Any) -> SubnetPlan:
    network = net(cidr)
    return SubnetPlan(**({"id": uid(name), "cidr": network, "gateway": network[1], "domain": "demo.internal",
                          "dns": (ip("9.9.9.9"),)} | more))


def port(name: str, address: str, subnet: str, *groups: str, **more: Any) -> PortPlan:
    mac = ":".join(("02", *(f"{byte:02x}" for byte in uid(name).bytes[:5])))
    return PortPlan(**({"id": uid(name), "mac": mac, "ip": ip(address), "subnet": uid(subnet), "hostname": name,
                        "groups": frozenset(uid(group) for group in groups)} | more))


def allow(name: str, direction: str = "ingress", protocol: str = "tcp", first: int | None = None,
          last: int | None = None, **more: Any) -> GroupRule:
    return GroupRule(id=uid(name), direction=direction, protocol=protocol, port_min=first, port_max=last, **more)


def default_group(name: str) -> GroupPlan:
    return GroupPlan(id=uid(name), rules=(
        allow(f"{name}-ssh", first=22, last=22), allow(f"{name}-http", first=80, last=80),
        allow(f"{name}-icmp", protocol="icmp"), allow(f"{name}-out", "egress", "any")))


def vpc(name: str = "v1", revision: int = 1, **more: Any) -> VpcPlan:
    """Two subnets with three ports in the default group, a way out and a floating IP."""
    a, b = f"{name}-a", f"{name}-b"
    usual = {
        "subnets": (subnet(a, "10.0.1.0/24"), subnet(b, "10.0.2.0/24")),
        "ports": (port(f"{name}-web", "10.0.1.10", a, f"{name}-sg"), port(f"{name}-db", "10.0.1.11", a, f"{name}-sg"),
                  port(f"{name}-app", "10.0.2.10", b, f"{name}-sg")),
        "groups": (default_group(f"{name}-sg"),),
        "floating": (FloatingPlan(id=uid(f"{name}-fip"), address=ip("198.18.7.50"), port=uid(f"{name}-web")),),
        "gateway": GatewayPlan(public=public(), address=ip("198.18.7.20"), chassis=CHASSIS),
    }
    return VpcPlan(id=uid(name), revision=revision, **(usual | more))


def large_vpc(ports: int, name: str = "large") -> VpcPlan:
    """One subnet full of ports."""
    cidr = net("10.4.0.0/16")
    return vpc(name, subnets=(subnet("large-a", str(cidr)),), floating=(), ports=tuple(
        port(f"{name}-{number}", str(cidr[number + 10]), "large-a", f"{name}-sg") for number in range(ports)))
