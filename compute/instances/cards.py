"""Network cards that come to an instance, and go from it, while it runs or is stopped.

The rows change with the request, the fabric and the host follow as an operation that holds the instance; its state stays what it
is. What runs gets the card plugged in; what is off finds it at its next start. No card at all is allowed: its screen still works.
"""
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from billing import ladder
from compute.instances import guarding, plugging
from compute.instances.errors import HasFloatingIp, NoNetworkOnHost
from compute.instances.models import Instance, InstanceState
from compute.instances.networks import MOST_CARDS, take_port
from compute.instances.seed import hostname_of
from compute.network.apply import changing
from compute.network.errors import TooMany
from compute.network.models import FloatingIp, Port, SecurityGroup, Subnet
from compute.network.operations.defaults import default_group
from compute.network.operations.vpcs import add_port, own_groups, refuse_gone
from portal.kernel import audit
from portal.kernel.errors import InvalidInput, NotFound, PortalError, StateConflict
from portal.kernel.models import Operation
from portal.kernel.operations import submit
from tenants.quotas import reserve

PERMISSION = "instance.create"
"""As of the cards that it gets when it is made."""
ATTACH, DETACH = "instance.attach_port", "instance.detach_port"
LEGAL = frozenset({InstanceState.RUNNING, InstanceState.STOPPED})
# Off, the rows and the fabric are all of it: the next start does the rest.
ATTACH_STEPS = {InstanceState.RUNNING: ("connect", "plug", "define", "link"), InstanceState.STOPPED: ("connect",)}
DETACH_STEPS = {InstanceState.RUNNING: ("unplug", "release", "define"), InstanceState.STOPPED: ("release",)}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is asked for: a new port in `subnet`, at an address or the next free one, or a `port` made before, which keeps its own
    address and security groups. `groups` None: the default."""

    subnet: Subnet | None = None
    port: Port | None = None
    ip: IPv4Address | None = None
    groups: tuple[SecurityGroup, ...] | None = None

    def check(self, instance: Instance) -> None:
        """Raise InvalidInput naming the field for what can never work."""
        errors: dict[str, list[str]] = {}
        if (self.subnet is None) == (self.port is None):
            errors["subnet"] = [_("Name a subnet, or a port made before.")]
        for name, row in (("subnet", self.subnet), ("port", self.port)):
            if row is not None and (row.project_id, row.region_id) != (instance.project_id, instance.region_id):
                errors[name] = [_("One of these belongs to another project or region.")]
        if self.port is not None and self.ip is not None:
            errors["ip"] = [_("A port made before keeps its own address.")]
        if self.port is not None and self.groups is not None:
            errors["security_groups"] = [_("Ports made before keep their own security groups: change them at the port.")]
        if errors:
            raise InvalidInput(errors=errors)


# -- whether it is possible --

def refusal(instance: Instance) -> PortalError | None:
    """What keeps anybody from changing its cards now; None when nothing does. Wants host and endpoint selected."""
    if instance.state not in LEGAL:
        return StateConflict(state=instance.state, legal=",".join(sorted(LEGAL)))
    return plugging.refusal(instance) or guarding.refusal(instance, "attach_port")


def why_not(instance: Instance) -> str:
    """A sentence, for buttons; empty where it is possible."""
    if instance.state not in LEGAL:
        return _("Not possible while the instance is “%(state)s”.") % {"state": instance.get_state_display()}
    found = refusal(instance)
    return found.detail if found else ""


def _held(instance: Instance) -> Instance:
    """The row, under the lock that verbs take. Raises NotFound, and what keeps its cards from being changed."""
    rows = Instance.objects.live().select_for_update(of=("self",), no_key=True)
    fresh = rows.select_related("region", "project__organization", "host__endpoint", "locked_by").filter(pk=instance.pk).first()
    if fresh is None:
        raise NotFound
    if error := refusal(fresh):
        raise error
    return fresh


# -- the verbs --

@transaction.atomic
def attach(instance: Instance, card: Card, *, actor: Any) -> Operation:
    """Begin to give the instance one more card. Raises InvalidInput, StateConflict, Busy, InstanceLocked, NotSupported, Unpaid,
    QuotaExceeded, TooMany, SubnetFull or AddressInUse."""
    card.check(instance)
    groups = card.groups
    if card.subnet is not None and groups is None:
        groups = (default_group(instance.project, instance.region, actor=actor),)
    fresh = _held(instance)
    if not fresh.host.chassis:
        raise NoNetworkOnHost(name=fresh.name)
    ladder.require_paid(fresh.project.organization_id)
    port = _new_port(fresh, card, groups or ()) if card.subnet is not None else _taken_port(fresh, card.port)
    operation = submit(ATTACH, region=fresh.region, project=fresh.project, target=fresh, actor=actor, holds=_holds(port),
                       steps=ATTACH_STEPS[fresh.state], arguments={"generation": fresh.generation, "port": str(port.pk)})
    audit.record(ATTACH, fresh, actor=actor, operation=operation, after=_told(port))
    return operation


def _new_port(instance: Instance, card: Card, groups: tuple[SecurityGroup, ...]) -> Port:
    locked = own_groups(instance.project_id, instance.region_id, groups)
    reserve(instance.project, instance.region, {"ports": 1})
    changing(card.subnet.vpc_id)
    refuse_gone(card.subnet)
    place = _next_place(instance)
    return add_port(card.subnet, locked, name=f"{instance.name} {place}", ip=card.ip, hostname=_hostname(instance),
                    domain=instance.pk, position=place, goes_with_instance=True)


def _taken_port(instance: Instance, port: Port) -> Port:
    changing(port.subnet.vpc_id)
    refuse_gone(port)
    return take_port(port, instance, _hostname(instance), _next_place(instance))


def _next_place(instance: Instance) -> int:
    """Behind all others: which card the guest goes out by stays as it is. Raises TooMany."""
    places = list(Port.objects.live().filter(domain=instance.pk).values_list("position", flat=True))
    if len(places) >= MOST_CARDS:
        raise TooMany(name=instance.name, most=MOST_CARDS, things=_("network cards"))
    return max(places, default=-1) + 1


def _hostname(instance: Instance) -> str:
    return hostname_of(instance.name, f"i-{instance.pk.hex[:8]}")


@transaction.atomic
def detach(instance: Instance, port: Port, *, actor: Any) -> Operation:
    """Begin to take a card away. One that came with the instance is deleted, one made before is free again. Raises InvalidInput,
    StateConflict, Busy, InstanceLocked, NotSupported, Unpaid or HasFloatingIp."""
    fresh = _held(instance)
    ladder.require_paid(fresh.project.organization_id, ladder.STOPPING)  # what is to be stopped is not kept busy
    changing(port.subnet.vpc_id)
    card = Port.objects.select_related("subnet").get(pk=port.pk)  # as it is under the lock
    if card.domain != fresh.pk or card.deleted_at is not None:
        raise InvalidInput.field("port", _("This is no network card of the instance."))
    floating = FloatingIp.objects.filter(port=card).select_related("allocation").first()
    if floating is not None:
        raise HasFloatingIp(ip=card.ip, address=floating.address)
    operation = submit(DETACH, region=fresh.region, project=fresh.project, target=fresh, actor=actor, holds=_holds(card),
                       steps=DETACH_STEPS[fresh.state], arguments={"generation": fresh.generation, "port": str(card.pk)})
    audit.record(DETACH, fresh, actor=actor, operation=operation, before=_told(card))
    return operation


def _holds(port: Port) -> list[Any]:
    """Its floating IP too: nobody moves it meanwhile."""
    return [port.pk, *FloatingIp.objects.filter(port=port).values_list("pk", flat=True)]


def _told(port: Port) -> dict[str, Any]:
    return {"ip": port.ip, "mac": port.mac, "subnets": port.subnet.name}
