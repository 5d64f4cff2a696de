"""The create page: a form, and a summary that says price, quota, placement and the same order for programs."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from billing import affording
from billing.money import Money
from billing.prices import Estimate, price_of
from compute.hosts import placement
from compute.instances import operations, wording
from compute.instances.class_wording import special, told
from compute.instances.forms import OrderForm, suggested_name
from compute.instances.launch_templates import prefill, verbs
from compute.instances.launch_templates.models import LaunchTemplate
from compute.instances.models import InstanceType
from compute.instances.offers import Offer, offer
from compute.instances.operations import Order
from compute.instances.spellings import Known, spellings
from portal.kernel.errors import InvalidInput, PortalError
from portal.kernel.remembered import LATELY_S, remembered
from tenants.access import fetch
from tenants.models import Project
from tenants.pages import page
from tenants.quotas import Line, lines
from tenants.scope import current_region, default_project, projects_of

PERMISSION = "instance.create"
REMEMBERED = "create"  # the session's: by project, what was chosen last
REMEMBERED_FIELDS = ("region", "zone", "image", "type", "vcpus", "memory_mib", "root_disk_gib",
                     "subnets", "security_groups", "floating_ip", "ssh_keys")
MOST_REMEMBERED = 20
UNSPELLED = (("curl", "curl", ""), ("python", "Python", ""), ("cli", "CLI", ""))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What an order would mean; empty parts are not known yet."""

    order: Order | None
    price: Estimate | None = None
    price_error: str = ""
    refused: PortalError | None = None
    """Why nothing that costs this is made now: somebody has to pay, or a budget is reached."""

    quota: tuple[Line, ...] = ()
    obstacles: tuple[str, ...] = ()
    spelled: tuple[tuple[str, str, str], ...] = UNSPELLED

    @property
    def limited(self) -> list[Line]:
        """Only what has a limit is worth a bar."""
        return [line for line in self.quota if line.limit is not None]

    @classmethod
    def of(cls, form: OrderForm) -> "Summary":
        order = form.order()
        if order is None:
            return cls(order=None)
        price, price_error = _price(order)
        refused = price and affording.refusal(order.project, price, order.tags, actor=form.user)
        return cls(order=order, price=price, price_error=price_error, refused=refused,
                   spelled=tuple(spellings(order, _known(form.offer))),
                   quota=tuple(lines(order.project, order.region, order.wanted)),
                   obstacles=tuple(wording.reason(code) for code in order.obstacles))


def _price(order: Order) -> tuple[Estimate | None, str]:
    try:
        return price_of(order.project.organization, order.region, order.readings, None), ""
    except PortalError as error:
        return None, error.detail


def _known(found: Offer) -> Known:
    return Known(projects=found.projects, images=found.images, keys=found.keys, subnets=found.subnets, groups=found.groups)


@page(PERMISSION, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """One page; sensible defaults, so that a newcomer only presses Create. `?image=`, `?type=` choose in advance, `?template=`
    all of it."""
    if request.method == "POST":
        return _order(request)
    projects_of(request)  # to choose from; among them is where it goes
    used = prefill.asked_for(request, PERMISSION)
    project = used.template.project if used else default_project(request, PERMISSION)
    if project is None:
        return render(request, "instances/create_nowhere.html")
    if used:
        return _filled_in(request, used)
    last = _remembered(request, project)
    looked_at = current_region(request)
    found = _offer(request, project, looked_at.pk if looked_at else last.get("region"))
    form = OrderForm(initial=defaults(request.user, found, last | request.GET.dict()), offer=found, user=request.user)
    return _show(request, form)


def _filled_in(request: HttpRequest, used: prefill.Prefill) -> HttpResponse:
    """From a template, in its own project and region."""
    found = _offer(request, used.template.project, used.template.region_id)
    standing = defaults(request.user, found, {})
    form = OrderForm(initial=standing | used.choices(found, standing), offer=found, user=request.user)
    return _show(request, form, used=used)


@page(PERMISSION, methods=("POST",))
def summary(request: HttpRequest) -> HttpResponse:
    """The summary of what is chosen so far; re-fetched whenever the form changes."""
    form = _sent(request, lately=True)
    form.is_valid()
    found = Summary.of(form)
    return render(request, "instances/_summary.html", {"summary": found, "form": form, "sizes": sizes(form, found),
                                                             "is_fragment": True})


@page(PERMISSION, methods=("POST",))
def check(request: HttpRequest) -> HttpResponse:
    """What is wrong with one field (`?field=`), in the light of the others."""
    form = _sent(request)
    form.check()
    name = request.GET.get("field", "")
    return render(request, "instances/_checked.html", {"errors": form.errors.get(name, []) if name in form.fields else []})


def _sent(request: HttpRequest, *, lately: bool = False) -> OrderForm:
    """The form as it was sent, for the project named in it; `lately` as with `offer`."""
    asked = request.POST.get("project")
    project = next((one for one in _projects(request) if str(one.pk) == asked), None) or fetch(
        request.user, Project.objects.select_related("organization"), PERMISSION, pk=asked)
    return OrderForm(request.POST, offer=_offer(request, project, request.POST.get("region", "-"), lately=lately),
                     user=request.user)


def _projects(request: HttpRequest) -> list[Project]:
    return [one for one in projects_of(request) if request.user.grants.may(PERMISSION, one.pk)]


def _offer(request: HttpRequest, project: Project, region: object, *, lately: bool = False) -> Offer:
    return offer(request.user, _projects(request), project, region, lately=lately)


def _order(request: HttpRequest) -> HttpResponse:
    form = _sent(request)
    if "preview" in request.POST:
        return _show(request, _moved(request, form))
    if "save_as" in request.POST:
        return _saved(request, form)
    if not form.carried_out(lambda: operations.create_instance(form.order(), actor=request.user)):
        return _show(request, form)
    order = form.order()
    _remember(request, form)
    if order.count > 1:
        messages.success(request, _("%(count)s instances are being made.") % {"count": order.count})
        return redirect("instances:list")
    return redirect("instances:detail", form.made.target_id)


def _saved(request: HttpRequest, form: OrderForm) -> HttpResponse:
    """The choices as a template of that name, or as the next version of the one that they began with. Nothing is made."""
    base = prefill.to_save(request.user, form["template"].value(), form.offer) if request.POST["save_as"] == "version" else None
    if not form.carried_out(lambda: _save(form, base)):
        return _show(request, form)
    text = _("The version was saved. It is the default one now.") if base else _("The template was saved.")
    messages.success(request, text)
    return redirect("launch_templates:detail", form.made.pk)


def _save(form: OrderForm, base: LaunchTemplate | None) -> LaunchTemplate:
    wishes, name = prefill.wishes(form), form.cleaned_data.get("save_name")
    if base is not None:
        verbs.add_version(base, wishes=wishes, actor=form.user)
        return base
    if "save_name" not in form.fields:
        raise form.user.grants.refusal(verbs.CREATE, form.offer.project).about(form.offer.project)
    if not name:
        raise InvalidInput.field("save_name", _("Say how the template is called."))
    project, region = form.cleaned_data["project"], form.cleaned_data["region"]
    return verbs.create_template(project, region, name=name, wishes=wishes, actor=form.user)


def _moved(request: HttpRequest, form: OrderForm) -> OrderForm:
    """The form as sent, for the project and region chosen in it: what these do not have gives way to their defaults."""
    if form.is_valid():
        return form
    sent, standing = request.POST.copy(), defaults(request.user, form.offer, {})
    for name in set(form.errors) & set(OrderForm.OF_PLACE):
        value = standing.get(name)
        sent.setlist(name, value if isinstance(value, list) else [value or ""])
    moved = OrderForm(sent, offer=form.offer, user=request.user)
    moved.is_valid()
    return moved


def _show(request: HttpRequest, form: OrderForm, used: prefill.Prefill | None = None) -> HttpResponse:
    """With a script the summary comes by itself; an answer to what was sent has it at once."""
    found = Summary.of(form) if form.is_bound else None
    return render(request, "instances/create.html", {
        "form": form, "offer": form.offer, "project": form.offer.project, "sizes": sizes(form, found), "summary": found,
        "spelled": found.spelled if found else UNSPELLED, "used": used,
        "base": prefill.to_save(request.user, form["template"].value(), form.offer),
    }, status=form.status)


# -- defaults --

def defaults(user: Any, found: Offer, last: Mapping[str, object]) -> dict[str, object]:
    """What is chosen at first: what was chosen last where it is still offered, else what does for most."""
    subnets = [row.pk for row in found.subnets if row.vpc.is_default][:1]
    standing: dict[str, object] = {
        "project": found.project and found.project.pk, "region": found.region and found.region.pk,
        "image": next((row.pk for row in found.images), None), "type": next((row.pk for row in found.types), None),
        "subnets": subnets, "security_groups": [row.pk for row in found.groups if row.is_default],
        "ssh_keys": [row.pk for row in found.keys], "floating_ip": _has_address_left(user, found),
        "name": suggested_name(), "count": 1}
    return standing | _still_offered(found, last, standing)


def _still_offered(found: Offer, last: Mapping[str, object], standing: Mapping[str, object]) -> dict[str, object]:
    """What of the last choices there still is to choose."""
    rows = {"zone": found.zones, "image": found.images, "type": found.types, "subnets": found.subnets,
            "security_groups": found.groups, "ssh_keys": found.keys}
    kept: dict[str, object] = {}
    for name in rows.keys() & last.keys():
        known, value = {str(row.pk) for row in rows[name]}, last[name]
        kept[name] = [one for one in value if one in known] if isinstance(value, list) else value if value in known else None
    kept = {name: value for name, value in kept.items() if value}
    kept |= {name: last[name] for name in ("root_disk_gib", "vcpus", "memory_mib") if isinstance(last.get(name), int)}
    return kept | {"floating_ip": standing["floating_ip"] and last.get("floating_ip", True) is not False}


def _has_address_left(user: Any, found: Offer) -> bool:
    """Whether the quota has one more public address."""
    if not found.has_public_network or not user.grants.may("floatingip.manage", found.project.pk):
        return False
    return all(line.fits for line in lines(found.project, found.region, {"floating_ips": 1}))


def _remembered(request: HttpRequest, project: Project) -> dict[str, object]:
    return dict(request.session.get(REMEMBERED, {}).get(str(project.pk), {}))


def _remember(request: HttpRequest, form: OrderForm) -> None:
    chosen = form.cleaned_data
    kept = {name: _plain(chosen[name]) for name in REMEMBERED_FIELDS if name in chosen}
    others = {pk: one for pk, one in request.session.get(REMEMBERED, {}).items() if pk != str(form.offer.project.pk)}
    latest = dict(list(others.items())[-MOST_REMEMBERED:])
    request.session[REMEMBERED] = latest | {str(form.offer.project.pk): kept}


def _plain(value: Any) -> object:
    """Rows as their ids, for the session."""
    if isinstance(value, (list, tuple)):
        return [str(row.pk) for row in value]
    return str(value.pk) if hasattr(value, "pk") else value


# -- sizes --

@dataclass(frozen=True, kw_only=True)
class Card:
    """A size with its price and, where it cannot be had, why."""

    type: InstanceType
    hourly: Money | None
    why_not: str

    @property
    def limits(self) -> Sequence[tuple[str, str]]:
        """What its class of virtual hardware rules out."""
        return told(self.type)

    @property
    def special(self) -> Sequence[str]:
        return special(self.type)


def sizes(form: OrderForm, found: Summary | None = None) -> list[Card]:
    """Without a summary only what the offer itself says is known."""
    left = {line.resource: line.limit - line.used for line in sorted(
        found.limited, key=lambda line: line.limit - line.used, reverse=True)} if found else {}
    region = form.offer.region
    hosts = remembered(("abilities", region.pk), lambda: placement.abilities(region),
                       least_s=LATELY_S) if found and region else []
    return [Card(type=kind, hourly=form.offer.prices.get(kind.pk), why_not=_why_not(kind, form.offer, left, hosts))
            for kind in form.offer.types]


def _why_not(kind: InstanceType, found: Offer, left: Mapping[str, int],
             hosts: list[tuple[Mapping[str, int], frozenset[str]]]) -> str:
    wanted = {"vcpu": kind.vcpus, "memory_mib": kind.memory_mib}
    if kind.pk not in found.prices:
        return _("It has no price here yet.")
    if hosts and not any(placement.is_within(wanted, capacity) for capacity, _traits in hosts):
        return _("No host of this region is large enough.")
    if hosts and not any(kind.traits <= given for _capacity, given in hosts):
        return _("No host of this region has its virtual hardware.")
    if left.get("instances", 1) < 1:
        return _("The quota allows no more instances.")
    if kind.vcpus > left.get("vcpus", kind.vcpus):
        return _("Your quota has %(left)s vCPUs left.") % {"left": max(0, left["vcpus"])}
    if kind.memory_mib > left.get("memory_mib", kind.memory_mib):
        return _("Your quota has %(left)s MiB of memory left.") % {"left": max(0, left["memory_mib"])}
    return ""
