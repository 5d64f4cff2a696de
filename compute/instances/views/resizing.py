"""The page on which an instance gets another size: a card for each, with its price here, what it takes, and how it is done."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.money import Money
from billing.prices import NoPrice, each_price
from compute.hosts import placement
from compute.instances import guarding, operations
from compute.instances.class_wording import special, told
from compute.instances.forms import ResizeForm
from compute.instances.lists.instances import HEAVY
from compute.instances.models import Instance, InstanceState, InstanceType
from compute.instances.resizing import OTHER_CLASS, Resize, Way
from compute.instances.verbs import VERBS
from compute.network.views.asking import sent
from portal.kernel.pages import acted
from portal.kernel.remembered import remembered
from portal.kernel.states import CLOCK
from tenants.access import fetch
from tenants.pages import page
from tenants.quotas import lines

VERB = VERBS["resize"]
# For how long it is believed what a host has left; seconds.
LATELY_S = 5
WORDS = {"vcpus": "vCPU", "memory_mib": "MiB"}


@dataclass(frozen=True, kw_only=True)
class Card:
    """A size as this instance would get it; `why_not` says why it cannot be had."""

    resize: Resize
    hourly: Money | None
    why_not: str

    @property
    def type(self) -> InstanceType:
        return self.resize.type

    @property
    def limits(self) -> Sequence[tuple[str, str]]:
        """What its class of virtual hardware rules out."""
        return told(self.type)

    @property
    def special(self) -> Sequence[str]:
        return special(self.type)

    @property
    def is_live(self) -> bool:
        return self.resize.way is Way.LIVE

    @property
    def needs_restart(self) -> bool:
        return self.resize.way is Way.RESTART

    @property
    def takes(self) -> str:
        """What that changes in the quota: “+1 vCPU, −512 MiB”."""
        return ", ".join(f"{'+' if amount > 0 else '−'}{abs(amount)} {WORDS[name]}"
                         for name, amount in self.resize.more.items() if amount)


@page(VERB.permission, methods=("GET", "POST"))
def resize(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Sizes to choose from, and what each means, before anything is done."""
    rows = Instance.objects.select_related("project__organization", "region", "type", "host__endpoint").defer(*HEAVY)
    instance = fetch(request.user, rows, VERB.permission, pk=pk)
    VERB.require(instance)
    guarding.require(instance, VERB.name)
    types = list(InstanceType.objects.offered_to(instance.project.organization_id))
    has = {"type": instance.type_id, "vcpus": instance.vcpus, "memory_mib": instance.memory_mib}
    form = ResizeForm(sent(request), types=types, is_running=instance.state == InstanceState.RUNNING,
                      initial=has if instance.type.is_custom else {})
    if request.method == "POST" and form.carried_out(
            lambda: operations.act(instance, VERB.name, actor=request.user, **form.wishes)):
        text = _("%(verb)s: %(name)s – accepted.") % {"verb": VERB.label, "name": instance.name}
        return acted(request, text, reverse("instances:detail", args=[pk]))
    return render(request, "instances/resize.html", {
        "verb": VERB, "instance": instance, "form": form, "cards": cards(instance, types)}, status=form.status)


def cards(instance: Instance, types: Sequence[InstanceType]) -> list[Card]:
    """In as many statements however many types there are."""
    project, region = instance.project, instance.region
    sizes = {kind.pk: Resize(instance=instance, type=kind) for kind in types}
    readings = {pk: wanted.size.readings(InstanceState.RUNNING) for pk, wanted in sizes.items()}
    try:
        prices = each_price(project.organization, region, [one for rows in readings.values() for one in rows], CLOCK)
    except NoPrice:
        prices = {}
    quota: dict[str, int] = {}
    for line in lines(project, region, {"vcpus": 0, "memory_mib": 0}, lately=True):
        if line.limit is not None:
            quota[line.resource] = min(line.limit - line.used, quota.get(line.resource, line.limit))
    # Only to be shown: the verb looks again.
    free = remembered(("left", instance.host_id), lambda: placement.left(instance.host), least_s=LATELY_S)
    found = []
    for kind in types:
        wanted, parts = sizes[kind.pk], [prices.get(one) for one in readings[kind.pk]]
        hourly = None if None in parts else Money(sum(one.amount for one in parts), parts[0].currency)
        found.append(Card(resize=wanted, hourly=hourly, why_not=_why_not(wanted, hourly, quota, free)))
    return found


def _why_not(wanted: Resize, hourly: Money | None, quota: Mapping[str, int], free: Mapping[str, Any]) -> str:
    more = wanted.more
    if wanted.type.pk == wanted.instance.type_id:
        return "" if wanted.type.is_custom else _("It has this size.")
    if wanted.is_other_class:
        return str(OTHER_CLASS)
    if not wanted.type.traits <= set(wanted.instance.host.traits):
        return _("Its host has not the virtual hardware of this type.")
    if hourly is None:
        return _("It has no price here yet.")
    if more["vcpus"] > max(0, quota.get("vcpus", more["vcpus"])):
        return _("Your quota has %(left)s vCPUs left.") % {"left": max(0, quota["vcpus"])}
    if more["memory_mib"] > max(0, quota.get("memory_mib", more["memory_mib"])):
        return _("Your quota has %(left)s MiB of memory left.") % {"left": max(0, quota["memory_mib"])}
    if more["vcpus"] > max(0, free["vcpu"]) or more["memory_mib"] > max(0, free["memory_mib"]):
        return _("Its host has not so much room, and its disk is on that host.")
    return ""
