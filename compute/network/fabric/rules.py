"""What may pass to and from ports: security groups, and what holds for every port. Pure, a part of `design`.

`from-lport` is what an instance sends, `to-lport` what it gets. What belongs to a connection that was allowed passes
by itself, and no longer once its rule is gone. OVN answers DHCP requests and names before anything leaves the host.

No match may negate a protocol (`!ip4`): hosts cannot read that, and drop the flow with a line in their log. So what
is foreign falls to the last rule, which names nothing.
"""
from uuid import UUID

from .document import Row
from .plan import GroupPlan, GroupRule, VpcPlan

NEVER, ALLOWED, OTHERWISE = 3000, 2000, 1000
"""Priorities: what no rule can allow, what is allowed, what happens to the rest."""
_DIRECTIONS = {"ingress": "to-lport", "egress": "from-lport"}


def base_name(vpc: UUID) -> str:
    """Names of port groups must be identifiers."""
    return f"vpc_{vpc.hex}"


def group_name(vpc: UUID, group: UUID) -> str:
    return f"sg_{vpc.hex}_{group.hex}"


def base_group(plan: VpcPlan) -> list[Row]:
    """The port group of all ports of the VPC, with its ACLs."""
    name = base_name(plan.id)
    sent, got = f"inport == @{name}", f"outport == @{name}"
    acls = [
        # Clients take offers from whichever port they come.
        _acl(plan, "sent-leases", "from-lport", NEVER, f"{sent} && ip4 && (udp.src == 67 || udp.dst == 68)", "drop"),
        # Of these, switches with DNS let everything through to other ports. Replies of an instance that serves names
        # belong to a connection and are not meant here.
        _acl(plan, "sent-names", "from-lport", NEVER, f"{sent} && ip4 && udp.src == 53", "drop"),
        _acl(plan, "sent-arp", "from-lport", ALLOWED, f"{sent} && arp", "allow"),
        _acl(plan, "got-arp", "to-lport", ALLOWED, f"{got} && arp", "allow"),
        _acl(plan, "asks-lease", "from-lport", ALLOWED,
             f"{sent} && ip4 && udp.src == 68 && udp.dst == 67", "allow-related"),
        # Whatever it is. (ACLs leave IPv6's neighbour discovery alone, whatever they say; port security stops that.)
        _acl(plan, "sent-otherwise", "from-lport", OTHERWISE, sent, "drop"),
        _acl(plan, "got-otherwise", "to-lport", OTHERWISE, got, "drop"),
    ]
    if servers := sorted({server for subnet in plan.subnets for server in subnet.dns or (subnet.gateway,)}):
        listed = ", ".join(str(server) for server in servers)
        acls.append(_acl(plan, "asks-name", "from-lport", ALLOWED,
                         f"{sent} && ip4.dst == {{{listed}}} && udp.dst == 53", "allow-related"))
    return [_port_group(name, frozenset(str(port.id) for port in plan.ports), acls), *acls]


def groups(plan: VpcPlan) -> list[Row]:
    """A port group for each security group, with an ACL for each rule."""
    rows: list[Row] = []
    known = {group.id for group in plan.groups}
    for group in plan.groups:
        acls = [_rule(plan, group, rule) for rule in group.rules if rule.remote_group in known | {None}]
        members = frozenset(str(port.id) for port in plan.ports if group.id in port.groups)
        rows += [_port_group(group_name(plan.id, group.id), members, acls), *acls]
    return rows


def _rule(plan: VpcPlan, group: GroupPlan, rule: GroupRule) -> Row:
    end, remote = ("outport", "ip4.src") if rule.direction == "ingress" else ("inport", "ip4.dst")
    parts = [f"{end} == @{group_name(plan.id, group.id)}", "ip4"]
    if rule.remote_group is not None:
        parts.append(f"{remote} == ${group_name(plan.id, rule.remote_group)}_ip4")
    elif rule.remote_cidr is not None and rule.remote_cidr.prefixlen > 0:
        parts.append(f"{remote} == {rule.remote_cidr}")
    parts += _protocol(rule)
    return _acl(plan, str(rule.id), _DIRECTIONS[rule.direction], ALLOWED, " && ".join(parts), "allow-related")


def _protocol(rule: GroupRule) -> list[str]:
    first, last = rule.port_min, rule.port_max
    if rule.protocol == "any":
        return []
    if rule.protocol == "icmp":
        return ["icmp4", *(f"icmp4.{name} == {value}" for name, value in (("type", first), ("code", last))
                           if value is not None)]
    if first is None:
        return [rule.protocol]
    if last is None or last == first:
        return [f"{rule.protocol}.dst == {first}"]
    return [f"{rule.protocol}.dst >= {first}", f"{rule.protocol}.dst <= {last}"]


def _port_group(name: str, members: frozenset[str], acls: list[Row]) -> Row:
    return Row(table="Port_Group", key=name, columns={"name": name},
               refs={"ports": members, "acls": frozenset(acl.key for acl in acls)})


def _acl(plan: VpcPlan, name: str, direction: str, priority: int, match: str, action: str) -> Row:
    return Row(table="ACL", key=f"acl-{plan.id}-{name}", columns={
        "name": (name,), "direction": direction, "priority": priority, "match": match, "action": action})
