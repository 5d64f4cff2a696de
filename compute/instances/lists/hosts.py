"""The operators' list of hosts: joins hosts with the instances on them."""
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from compute.hosts import operations
from compute.hosts.models import CLAIMED, Host
from compute.instances.models import Instance, InstanceState
from portal.kernel.lists import Choice, Column, Empty, RowChoice, Text
from portal.kernel.models import Zone
from tenants.bulk import BulkVerb
from tenants.lists import BY_REGION, ID, NAME, REGION, STATE, Listing, states
from tenants.pages import STAFF

LABELS: dict[str, Any] = {"vcpu": _("vCPU"), "memory_mib": _("Memory")}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What is claimed of one class."""

    name: str
    label: str
    used: int
    total: int

    @property
    def is_over(self) -> bool:
        return self.used > self.total


def bars(host: Host) -> list[Bar]:
    capacity = host.capacity
    return [Bar(name=name, label=str(LABELS[name]), used=getattr(host, f"claimed_{name}"), total=capacity[name])
            for name in CLAIMED]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A host with what is on it."""

    bars: list[Bar]
    instance_count: int


def _keep_away(host: Host, user: Any) -> None:
    operations.set_maintenance(host, True, actor=user)


def _let_in(host: Host, user: Any) -> None:
    operations.set_maintenance(host, False, actor=user)


class HostList(Listing):
    """Hosts by name."""

    name, url_name, row_template, ordering = "hosts", "hosts:list", "hosts/_row.html", "name"
    title, live, polls = _("Hosts"), "instance operation", True
    columns = (
        ID, NAME, STATE, Column(label=_("Health"), only_in_csv=True, value=lambda line: line.row.get_health_display()),
        Column(label=_("Claimed of capacity"), value=lambda line: " ".join(f"{bar.used}/{bar.total}" for bar in line.item.bars)),
        Column(label=_("Instances"), kind="wide-only text-end", value=lambda line: line.item.instance_count),
        Column(label=_("Chassis"), kind="wide-only", value=lambda line: line.row.chassis), REGION,
        Column(label=_("Zone"), only_in_csv=True, value=lambda line: line.row.zone.name),
        Column(label=_("in maintenance"), only_in_csv=True, value=lambda line: int(line.row.is_in_maintenance)))
    filters = (
        Text(name="name", label=_("Name contains …"), paths=("name", "hostname")), states(Host.State.choices),
        Choice(name="health", label=_("Health"), choices=Host.Health.choices),
        Choice(name="maintenance", label=_("Maintenance"), choices=[("yes", _("in maintenance")), ("no", _("in service"))],
               means=lambda value: Q(is_in_maintenance=value == "yes"), is_extra=True),
        RowChoice(name="zone", label=_("Zone"), rows=lambda user: Zone.objects.all(), is_extra=True), BY_REGION)
    verbs = (
        BulkVerb(name="prepare", label=_("Prepare again"), icon="refresh", permission=STAFF,
                 act=lambda host, user: operations.prepare_host(host, actor=user)),
        BulkVerb(name="maintain", label=_("Take no new instances"), icon="tool", permission=STAFF, act=_keep_away),
        BulkVerb(name="serve", label=_("Take new instances"), icon="player-play", permission=STAFF, act=_let_in))
    empty = Empty(icon="server", title=_("No hosts yet"), action=_("Add host"), url_name="admin:hosts_host_add", permission=STAFF,
                  text=_("A host is a machine that runs instances: its name and SSH address are all that is needed to add one."))

    def rows(self) -> QuerySet[Host]:
        return Host.objects.visible_to(self.user).with_claims().select_related("zone", "region", "endpoint")

    def items(self, rows: list[Host]) -> list[Loaded]:
        # By the state, which says the same as `live` and is not in another table.
        there = Instance.objects.filter(host__in=rows).exclude(state=InstanceState.DELETED).order_by()
        counts = dict(there.values_list("host").annotate(count=Count("pk")))
        return [Loaded(bars=bars(row), instance_count=counts.get(row.pk, 0)) for row in rows]

    def is_changing(self, row: Host) -> bool:
        return row.state == Host.State.PREPARING
