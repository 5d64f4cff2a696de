"""Every opinion about OVN rows: plan in, document out. Pure, so that the same plan gives the same rows for ever.

A VPC is a distributed router with a switch for each subnet. Security groups are port groups; a port group of all ports
of the VPC says what holds for everybody. The way out is a router port on the public switch, carried by one of several
chassis, with SNAT for all and a distributed `dnat_and_snat` for each floating IP.

Keys are names wherever a row has a name. Nothing of one VPC is referred to by another: equal CIDRs never meet.
"""
from hashlib import sha256
from ipaddress import IPv4Address
from uuid import UUID

from .document import Document, Row, Value
from .plan import PublicPlan, SubnetPlan, VpcPlan
from .rules import base_group, groups

__all__ = ["public_document", "vpc_document"]

GENEVE_MTU = 1442
"""What a guest may send over a tunnel between hosts whose network carries 1500 bytes."""
LEASE_S = 86_400
"""Long, so that guests keep their address while a host's controller is away; renewals cost nothing."""
GATEWAYS = 5
"""More chassis than this for one VPC only add tunnels to watch."""
_POLICY_PRIORITY = 1000


def vpc_document(plan: VpcPlan) -> Document:
    """All rows of a VPC. Without a chassis to carry it there is no way out."""
    rows: list[Row] = []
    for subnet in plan.subnets:
        rows += _subnet(plan, subnet)
    rows += [_names(plan), *base_group(plan), *groups(plan)]
    outside = _outside(plan) if _has_outside(plan) else []
    rows += outside
    anchor = f"vpc-{plan.id}"

    def keys(table: str) -> frozenset[str]:
        return frozenset(row.key for row in rows if row.table == table)

    router = Row(table="Logical_Router", key=anchor, columns={
        "name": anchor, "enabled": (),
        "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
    }, refs={
        "ports": keys("Logical_Router_Port"), "static_routes": keys("Logical_Router_Static_Route"),
        "policies": keys("Logical_Router_Policy"), "nat": keys("NAT")})
    return Document(owner=plan.id, revision=plan.revision, anchor=anchor, rows=(router, *rows))


def public_document(plan: PublicPlan) -> Document:
    """The switch that floating IPs and routers are on, with its hole in the wall."""
    anchor, hole = public_key(plan), f"localnet-{plan.id}"
    rows = (
        Row(table="Logical_Switch", key=anchor, columns={"name": anchor}, refs={"ports": frozenset({hole})}),
        Row(table="Logical_Switch_Port", key=hole, columns=_port_columns(hole) | {
            "type": "localnet", "addresses": ("unknown",), "options": {"network_name": plan.physical_network}}),
    )
    return Document(owner=plan.id, revision=plan.revision, anchor=anchor, rows=rows)


def public_key(plan: PublicPlan) -> str:
    return f"public-{plan.id}"


# -- inside ------------------------------------------------------------------------------------------------------------


def _subnet(plan: VpcPlan, subnet: SubnetPlan) -> list[Row]:
    switch, router_port, link = f"subnet-{subnet.id}", f"lrp-{subnet.id}", f"router-{subnet.id}"
    ports = [port for port in plan.ports if port.subnet == subnet.id]
    rows = [
        Row(table="Logical_Switch", key=switch, columns={"name": switch}, refs={
            "ports": frozenset({link, *(str(port.id) for port in ports)}),
            "dns_records": frozenset({f"dns-{plan.id}"})}),
        Row(table="Logical_Router_Port", key=router_port, columns={
            "name": router_port, "mac": _mac("0a", subnet.id), "enabled": (),
            "networks": (f"{subnet.gateway}/{subnet.cidr.prefixlen}",)}),
        _link(link, router_port),
    ]
    leases = frozenset({f"dhcp-{subnet.id}"}) if subnet.has_dhcp else frozenset()
    rows += [Row(table="DHCP_Options", key=key, columns=_dhcp(subnet)) for key in leases]
    for port in ports:
        address = f"{port.mac.lower()} {port.ip}"
        rows.append(Row(table="Logical_Switch_Port", key=str(port.id), refs={"dhcpv4_options": leases},
                        columns=_port_columns(str(port.id)) | {
                            "addresses": (address,), "port_security": (address,), "enabled": (port.is_enabled,)}))
    return rows


def _dhcp(subnet: SubnetPlan) -> dict[str, Value]:
    servers = subnet.dns or (subnet.gateway,)
    options = {
        "server_id": str(subnet.gateway), "server_mac": _mac("0a", subnet.id), "router": str(subnet.gateway),
        "lease_time": str(LEASE_S), "mtu": str(GENEVE_MTU),
        "dns_server": "{" + ", ".join(str(server) for server in servers) + "}",
    }
    if subnet.domain:
        options["domain_name"] = f'"{subnet.domain}"'
    return {"cidr": str(subnet.cidr), "options": options}


def _names(plan: VpcPlan) -> Row:
    """Every port's host name, alone and with its subnet's domain; a name that several have leads to all of them.

    The addresses are told as IPv6 writes them too: a question for IPv6 that has no answer gets none at all from OVN, and
    resolvers, which ask both, wait 15 s for it.
    """
    domains = {subnet.id: subnet.domain.lower() for subnet in plan.subnets}
    found: dict[str, set[IPv4Address]] = {}
    for port in plan.ports:
        host, domain = port.hostname.lower(), domains.get(port.subnet, "")
        for name in {host, f"{host}.{domain}" if domain else host} if host else ():
            found.setdefault(name, set()).add(port.ip)
    records = {name: " ".join([*map(str, sorted(ips)), *(f"::ffff:{ip}" for ip in sorted(ips))])
               for name, ips in sorted(found.items())}
    return Row(table="DNS", key=f"dns-{plan.id}", columns={"records": records})


def _port_columns(name: str) -> dict[str, Value]:
    """A switch port with nothing special, said in full, so that what is set by hand is mended."""
    return {"name": name, "type": "", "options": {}, "parent_name": (), "addresses": (), "port_security": (),
            "enabled": ()}


def _link(name: str, router_port: str, **options: str) -> Row:
    """A switch port that is the other end of a router's port."""
    return Row(table="Logical_Switch_Port", key=name, columns=_port_columns(name) | {
        "type": "router", "addresses": ("router",), "options": {"router-port": router_port, **options}})


# -- outside -----------------------------------------------------------------------------------------------------------


def _has_outside(plan: VpcPlan) -> bool:
    return plan.gateway is not None and bool(plan.gateway.chassis)


def _outside(plan: VpcPlan) -> list[Row]:
    gateway = plan.gateway
    public, router_port = public_key(gateway.public), f"gw-{plan.id}"
    link = f"pub-{plan.id}-{gateway.public.id}"
    carriers = _carriers(plan)
    return [
        Row(table="Logical_Switch", key=public, refs={"ports": frozenset({link})}, extends=True),
        _link(link, router_port, **{"nat-addresses": "router"}),
        Row(table="Logical_Router_Port", key=router_port, columns={
            "name": router_port, "mac": _mac("0e", plan.id), "enabled": (),
            "networks": (f"{gateway.address}/{gateway.public.cidr.prefixlen}",)},
            refs={"gateway_chassis": frozenset(row.key for row in carriers)}),
        *carriers,
        Row(table="Logical_Router_Static_Route", key=f"route-{plan.id}", columns={
            "ip_prefix": "0.0.0.0/0", "nexthop": str(gateway.public.gateway), "output_port": (router_port,)}),
        *_translations(plan),
        *_doorkeepers(plan, router_port),
    ]


def _carriers(plan: VpcPlan) -> list[Row]:
    """Which chassis carry the VPC's traffic, the first with the highest priority. Each VPC has an order of its own
    that a chassis more or less hardly changes, so that load is spread and few VPCs move when a host is added."""
    def weight(chassis: str) -> bytes:
        return sha256(f"{plan.id} {chassis}".encode()).digest()

    ordered = sorted(set(plan.gateway.chassis), key=weight)[:GATEWAYS]
    return [Row(table="Gateway_Chassis", key=f"gw-{plan.id}-{chassis}", columns={
        "name": f"gw-{plan.id}-{chassis}", "chassis_name": chassis, "priority": GATEWAYS - place})
        for place, chassis in enumerate(ordered)]


def _translations(plan: VpcPlan) -> list[Row]:
    """Floating IPs are answered where their instance is, by a MAC that they keep wherever they go."""
    ports = {port.id: port for port in plan.ports}
    rows = [Row(table="NAT", key=f"snat-{subnet.id}", columns={
        "type": "snat", "external_ip": str(plan.gateway.address), "logical_ip": str(subnet.cidr),
        "external_mac": (), "logical_port": ()}) for subnet in plan.subnets]
    rows += [Row(table="NAT", key=f"fip-{floating.id}", columns={
        "type": "dnat_and_snat", "external_ip": str(floating.address), "logical_ip": str(ports[floating.port].ip),
        "external_mac": (_mac("06", floating.id),), "logical_port": (str(floating.port),)})
        for floating in plan.floating if floating.port in ports]
    return rows


def _doorkeepers(plan: VpcPlan, router_port: str) -> list[Row]:
    """What the router does not take from outside.

    - `unasked`: private addresses are reached by floating IP and in replies only: both have been through NAT, hence
      through connection tracking.
    - `disguised`: nobody outside has an address of the inside; rules that name a group or a subnet trust that.
    - `names`: a switch with DNS lets every packet from UDP port 53 through to its ports, past all security groups.
      The sender's own port group stops instances (see `rules`); this stops the rest of the world, but for replies.
    """
    if not plan.subnets:
        return []
    inside = "{" + ", ".join(sorted(str(subnet.cidr) for subnet in plan.subnets)) + "}"
    matches = {
        "unasked": f'inport == "{router_port}" && ip4.dst == {inside} && !ct.trk',
        "disguised": f'inport == "{router_port}" && ip4.src == {inside}',
        "names": f'inport == "{router_port}" && udp.src == 53 && !ct.rpl',
    }
    return [Row(table="Logical_Router_Policy", key=f"policy-{plan.id}-{name}", columns={
        "priority": _POLICY_PRIORITY + place, "match": match, "action": "drop"})
        for place, (name, match) in enumerate(matches.items())]


def _mac(first: str, owner: UUID) -> str:
    """A locally administered address that follows from an id; `first` tells apart what it is for."""
    rest = sha256(owner.bytes).digest()[:5]
    return ":".join((first, *(f"{byte:02x}" for byte in rest)))
