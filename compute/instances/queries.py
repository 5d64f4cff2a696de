"""Page-shaped reads of instances: rows with their buttons, and what each tab shows. Nothing is decided here."""
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing import rating
from billing.money import Money
from billing.periods import Month
from compute.hosts.models import Verdict
from compute.instances import addresses, wording
from compute.instances.models import Instance, SshKey
from compute.instances.networks import has_fabric
from compute.instances.verbs import VERBS, Verb
from compute.network.models import FloatingIp, Port
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.states import database_now
from storage.models import Attachment, Volume

TABS: dict[str, Any] = {"overview": _("Overview"), "network": _("Network"), "console": _("Console"), "events": _("Events"),
                        "cost": _("Cost")}
RECENT = 30


@dataclass(frozen=True, kw_only=True)
class Button:
    """A verb on one instance; `why_not` says why it cannot be pressed."""

    verb: Verb
    url: str
    why_not: str

    @classmethod
    def of(cls, verb: Verb, instance: Instance, user) -> "Button":
        allowed = user.grants.may(verb.permission, instance.project_id)
        why_not = str(verb.why_not(instance)) if allowed else str(_("Your role does not include this."))
        return cls(verb=verb, url=reverse(f"instances:{verb.name}", args=[instance.pk]), why_not=why_not)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the list."""

    instance: Instance
    buttons: tuple[Button, ...]
    addresses: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, instance: Instance, user, addresses: Iterable[tuple[str, str]] = ()) -> "Row":
        return cls(instance=instance, buttons=tuple(Button.of(verb, instance, user) for verb in VERBS.values()),
                   addresses=tuple(addresses))


def rows(instances: Collection[Instance], user) -> list[Row]:
    """Of a page, with their addresses."""
    known = addresses.short(instances)
    return [Row.of(instance, user, known.get(instance.pk, ())) for instance in instances]


@dataclass(frozen=True, kw_only=True)
class Detail(Row):
    """An instance with what its header says."""

    operation: Operation | None
    observed: str
    may_open_console: bool

    @classmethod
    def of(cls, instance: Instance, user) -> "Detail":
        live = Operation.objects.filter(holds__resource=instance.pk).first()
        expected = wording.EXPECTED.get(instance.state)
        differs = expected is not None and instance.observed_state not in ("", expected)
        return cls(instance=instance, buttons=Row.of(instance, user).buttons, operation=live,
                   observed=wording.observed(instance.observed_state) if differs else "",
                   may_open_console=user.grants.may("instance.console", instance.project_id))


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """Placement's view of one host, in words; the host's name is empty for tenants."""

    host: str
    is_chosen: bool
    text: str
    weight: float | None


def overview(instance: Instance, user) -> dict[str, Any]:
    volumes = [row.volume for row in Attachment.objects.filter(domain=instance.pk).select_related("volume__pool")
               .order_by("target")]
    prints = SshKey.objects.filter(project_id=instance.project_id, public_key__in=instance.public_keys).order_by("name")
    return {"volumes": volumes, "keys": list(prints), "opinions": opinions(instance, user),
            "addresses": addresses.addresses(instance)}


def network(instance: Instance, user) -> dict[str, Any]:
    """Its ports, with what may be done to them."""
    may = {name: user.grants.may(permission, instance.project_id) for name, permission in (
        ("manage", "vpc.manage"), ("associate", "floatingip.associate"))}
    return {"addresses": addresses.addresses(instance), "may": may}


def tabs(instance: Instance) -> dict[str, Any]:
    """Those that have something to show: a region without networks has no such tab."""
    return TABS if has_fabric(instance.region) else {name: label for name, label in TABS.items() if name != "network"}


def opinions(instance: Instance, user) -> list[Opinion]:
    """Per host for operators; for tenants only why nothing was found, without names."""
    found = Verdict.objects.filter(consumer=instance.pk).select_related("host")
    rows = list(found.order_by("-is_chosen", "-weight", "pk"))
    if user.grants.sees_everything:
        return [Opinion(host=row.host.name, is_chosen=row.is_chosen, weight=row.weight,
                        text=wording.reason(row.reason) if row.reason else "") for row in rows]
    if any(row.is_chosen for row in rows):
        return []
    return [Opinion(host="", is_chosen=False, weight=None, text=text)
            for text in sorted({wording.reason(row.reason) for row in rows if row.reason})]


def console(instance: Instance, user) -> dict[str, Any]:
    return {}


def events(instance: Instance, user) -> dict[str, Any]:
    """What was done to it, its ports and the floating IPs at them, and by whom."""
    ports = Port.objects.filter(domain=instance.pk)
    subjects = [instance.pk, *ports.values_list("pk", flat=True),
                *FloatingIp.objects.filter(port__in=ports).values_list("pk", flat=True)]
    seen = AuditEvent.objects.visible_to(user).filter(resource__in=subjects).select_related("actor")
    work = Operation.objects.visible_to(user).filter(target__in=subjects).select_related("actor", "target")
    return {"events": seen.order_by("-at", "-pk")[:RECENT], "operations": work.order_by("-created_at", "-pk")[:RECENT]}


@dataclass(frozen=True, kw_only=True)
class Costs:
    """This month's usage of an instance and its volumes, and its sum."""

    lines: list[rating.Line]
    sum: Money | None
    month: datetime


def cost(instance: Instance, user) -> dict[str, Any]:
    if not user.grants.may("usage.view", instance.project_id):
        return {"costs": None}
    now = database_now()
    month = Month.of(now)
    resources = [instance.pk, *Volume.objects.filter(attachment__domain=instance.pk).values_list("pk", flat=True)]
    lines = rating.lines(rating.Selection(projects=[instance.project_id], resources=resources),
                         start=month.start, end=month.end, now=now)
    total = None
    for line in lines:
        total = line.money if total is None else total + line.money
    return {"costs": Costs(lines=lines, sum=total, month=month.start), "now": now}


TAB_CONTENT: dict[str, Callable[[Instance, Any], dict[str, Any]]] = {
    "overview": overview, "network": network, "console": console, "events": events, "cost": cost}
