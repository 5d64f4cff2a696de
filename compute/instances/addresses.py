"""Where instances are reached: their ports with floating IPs, and the command lines that follow from the rules there."""
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from compute.instances.guarding import ASKED, why_kept
from compute.instances.models import Instance, InstanceState
from compute.instances.networks import ports_by_instance
from compute.network import queries as network
from compute.network.models import FloatingIp, Port
from compute.network.topology import Guest, floating_address
from portal.kernel.composed import Composed

# Who signs in by key, where the image's tag `login` says nothing else: the demo image's user.
LOGIN_TAG, LOGIN = "login", "demo"
SSH, HTTP, HTTPS = 22, 80, 443


@dataclass(frozen=True, kw_only=True)
class Address:
    """A port of an instance with how it is reached from outside; empty where it is not."""

    port: Port
    tone: str
    state: Any
    groups: tuple[Any, ...]
    floating: FloatingIp | None
    public: str
    ssh: str
    web: str

    @property
    def hint(self) -> str:
        """What is in the way of signing in over the network."""
        if self.floating is None:
            return str(_("It has no public address: from outside its VPC it is not reached, but it reaches out."))
        return "" if self.ssh or not self.public else str(_("No rule of its security groups lets SSH in."))


def addresses(instance: Instance) -> list[Address]:
    """In the order of its cards. Wants the image selected."""
    login = instance.image.tags.get(LOGIN_TAG, LOGIN)
    return [_address(port, login) for port in CARDS.models(instance=instance.pk)]


CARDS = Composed(lambda instance: network.ports(Port.objects.live().filter(domain=instance)).prefetch_related("groups__rules")
                 .order_by("position", "pk"), instance=UUID)


def _address(port: Port, login: str) -> Address:
    row = network.PortRow.of(port, {})
    groups = tuple(sorted(port.groups.all(), key=lambda group: group.name))
    rules = [rule for group in groups for rule in group.rules.all()]
    floating = port.floating_ip if row.floating else None
    public = row.floating if floating and floating.state in ("attached", "allocating") else ""
    schemes = {"http": HTTP, "https": HTTPS}
    web = next((name for name, number in schemes.items() if network.lets_in(rules, number)), "")
    return Address(port=port, tone=row.tone, state=row.state, groups=groups, floating=floating, public=public,
                   ssh=f"ssh {login}@{public}" if public and network.lets_in(rules, SSH) else "",
                   web=f"{web}://{public}/" if public and web else "")


def short(instances: Collection[Instance]) -> dict[UUID, list[tuple[str, str]]]:
    """Address and floating IP of every port, by instance, for lists: one statement however many there are."""
    found = ports_by_instance([instance.pk for instance in instances])
    return {pk: [(port.ip or "", floating_address(port)) for port in ports] for pk, ports in found.items()}


def guests(user: Any, ports: Iterable[Port]) -> dict[UUID, Guest]:
    """Who uses the ports, as far as the user may see it."""
    domains = {port.domain for port in ports if port.domain}
    rows = Instance.objects.visible_to(user).filter(pk__in=domains).select_related("locked_by").only("state", *ASKED)
    return {row.pk: Guest(name=row.name, url=reverse("instances:detail", args=[row.pk]), tone=Instance.TONES[row.state],
                          state=str(InstanceState(row.state).label), kept=why_kept(row)) for row in rows}


def with_owners(rows: QuerySet[Port]) -> QuerySet[Port]:
    """Ports that know their instance's name, for lists of choices."""
    names = Instance.objects.filter(pk=OuterRef("domain")).values("name")[:1]
    return rows.annotate(owner=Subquery(names)).select_related("subnet__vpc")
