"""Verbs on security groups and their rules. Each raises the revision of every VPC in which the group matters."""
from collections.abc import Iterable
from ipaddress import IPv4Network

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from compute.network.apply import changing, vpcs_with
from compute.network.errors import InUse, NoNetwork, TooMany
from compute.network.models import Fabric, Port, SecurityGroup, SecurityGroupRule
from compute.network.operations.vpcs import lock_groups, own_groups, refuse_gone
from portal.kernel import audit, live
from portal.kernel.errors import InvalidInput, PortalError, StateConflict
from portal.kernel.guards import require_changeable
from portal.kernel.models import Region
from portal.kernel.states import database_now
from tenants.models import Project
from tenants.quotas import reserve

Rule = SecurityGroupRule
MOST_RULES = 100
# What a new project's default group lets in; everything goes out.
DEFAULT_RULES: tuple[dict[str, object], ...] = (
    {"direction": "ingress", "protocol": "tcp", "port_min": 22, "port_max": 22, "description": "SSH"},
    {"direction": "ingress", "protocol": "tcp", "port_min": 80, "port_max": 80, "description": "HTTP"},
    {"direction": "ingress", "protocol": "icmp", "description": "ping"},
    {"direction": "egress", "protocol": "any", "description": ""},
)


class RuleExists(PortalError):
    code, status = "rule_exists", 409
    title = _("Rule exists")
    text = _("The security group has this rule already.")


@transaction.atomic
def create_group(project: Project, region: Region, *, name: str, actor, description: str = "",
                 tags: dict[str, str] | None = None, is_default: bool = False,
                 rules: Iterable[dict[str, object]] = ({"direction": "egress", "protocol": "any"},)) -> SecurityGroup:
    """A group; unless told otherwise everything goes out and nothing comes in."""
    if not Fabric.objects.filter(region=region).exists():
        raise NoNetwork(region=region.name)
    rules = list(rules)
    reserve(project, region, {"security_groups": 1, "security_group_rules": len(rules)})
    group = SecurityGroup.objects.create(project=project, region=region, name=name, description=description, tags=tags or {},
                                         is_default=is_default)
    SecurityGroupRule.objects.bulk_create(SecurityGroupRule(group=group, **rule) for rule in rules)
    audit.record("security_group.create", group, actor=actor, after={"name": name, "rules": len(rules)})
    live.touch(group)
    return group


@transaction.atomic
def delete_group(group: SecurityGroup, *, actor) -> None:
    """Gone. Raises InUse while ports have it or other groups' rules name it; a default group stays."""
    lock_groups(group)
    if group.is_default:
        raise StateConflict(state=str(_("default")))
    end_group(group, actor=actor)


def end_group(group: SecurityGroup, *, actor) -> None:
    """Take the group away. The caller has locked it. Raises InUse while ports have it or other groups' rules name it."""
    ports = Port.objects.live().filter(groups=group).count()
    if ports:
        raise InUse(name=group.name, count=ports, users=str(_("ports")))
    named = Rule.objects.filter(remote_group=group, group__deleted_at=None).exclude(group=group).count()
    if named:
        raise InUse(name=group.name, count=named, users=str(_("rules")))
    SecurityGroup.objects.filter(pk=group.pk).update(deleted_at=database_now())
    live.touch(group)
    audit.record("security_group.delete", group, actor=actor, before={"name": group.name})


@transaction.atomic
def add_rule(group: SecurityGroup, *, actor, direction: str, protocol: str, port_min: int | None = None,
             port_max: int | None = None, remote_cidr: IPv4Network | None = None, remote_group: SecurityGroup | None = None,
             description: str = "") -> SecurityGroupRule:
    """One more permission, at work within 2 s. Raises InvalidInput or RuleExists."""
    port_max = port_max if port_max is not None else port_min
    port_min = port_min if port_min is not None else port_max
    _check_rule(group, protocol, port_min, port_max, remote_cidr, remote_group)
    lock_groups(group, *([remote_group] if remote_group else []))
    same = Rule.objects.filter(group=group, direction=direction, protocol=protocol, port_min=port_min, port_max=port_max,
                               remote_cidr=remote_cidr, remote_group=remote_group)
    if same.exists():
        raise RuleExists
    if Rule.objects.filter(group=group).count() >= MOST_RULES:
        raise TooMany(name=group.name, most=MOST_RULES, things=str(_("rules")))
    reserve(group.project, group.region, {"security_group_rules": 1})
    rule = Rule.objects.create(group=group, direction=direction, protocol=protocol, port_min=port_min, port_max=port_max,
                               remote_cidr=remote_cidr, remote_group=remote_group, description=description)
    changing(*vpcs_with([group.pk]))
    live.touch(group)
    audit.record("security_group.rule_add", group, actor=actor, after=_told(rule))
    return rule


def _check_rule(group: SecurityGroup, protocol: str, port_min: int | None, port_max: int | None,
                remote_cidr: IPv4Network | None, remote_group: SecurityGroup | None) -> None:
    if port_min is not None and protocol not in ("tcp", "udp"):
        raise InvalidInput.field("port_min", str(_("Only TCP and UDP have ports.")))
    if port_min is not None and not 1 <= port_min <= port_max <= 65535:
        raise InvalidInput.field("port_max", str(_("Ports are 1 to 65535, the first not above the last.")))
    if remote_cidr is not None and remote_group is not None:
        raise InvalidInput.field("remote_group", str(_("Give a remote network or a remote group, not both.")))
    if remote_group is not None and (remote_group.project_id, remote_group.region_id) != (group.project_id, group.region_id):
        raise InvalidInput.field("remote_group", str(_("This security group belongs to another project or region.")))


@transaction.atomic
def delete_rule(rule: SecurityGroupRule, *, actor) -> None:
    """The permission ends within 2 s, for connections under way too."""
    group = rule.group
    lock_groups(group)
    vpcs = vpcs_with([group.pk])
    Rule.objects.filter(pk=rule.pk).delete()
    changing(*vpcs)
    live.touch(group)
    audit.record("security_group.rule_delete", group, actor=actor, before=_told(rule))


@transaction.atomic
def set_groups(port: Port, groups: Iterable[SecurityGroup], *, actor) -> Port:
    """The port has exactly these groups; none means that nothing passes. Raises Locked."""
    require_changeable(port.domain, actor=actor)
    groups = own_groups(port.project_id, port.region_id, groups)
    changing(port.subnet.vpc_id)
    refuse_gone(port)
    before = list(port.groups.order_by("name").values_list("name", flat=True))
    port.groups.set(groups)
    live.touch(port)
    audit.record("port.security_groups", port, actor=actor, before={"groups": before},
                 after={"groups": sorted(group.name for group in groups)})
    return port


def _told(rule: SecurityGroupRule) -> dict[str, object]:
    remote = rule.remote_cidr or (rule.remote_group and rule.remote_group.name)
    return {"rule": str(rule), "remote": str(remote) if remote else ""}
