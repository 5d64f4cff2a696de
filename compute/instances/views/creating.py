"""The create page: a form, and a summary that says price, quota, placement and the same order by REST."""
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from billing.money import Money
from billing.prices import Estimate, price_of
from compute.instances import operations, wording
from compute.instances.forms import OrderForm, suggested_name
from compute.instances.models import Instance, InstanceState, InstanceType, SshKey
from compute.instances.operations import Order
from portal.kernel.errors import PortalError
from portal.kernel.models import Region
from portal.kernel.states import database_now
from storage.models import Image
from tenants.access import fetch
from tenants.models import Project
from tenants.pages import page
from tenants.quotas import Line, lines
from tenants.scope import default_project


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What an order would mean; empty parts are not known yet."""

    order: Order | None
    price: Estimate | None = None
    price_error: str = ""
    quota: tuple[Line, ...] = ()
    obstacles: tuple[str, ...] = ()
    curl: str = ""

    @property
    def limited(self) -> list[Line]:
        """Only what has a limit is worth a bar."""
        return [line for line in self.quota if line.limit is not None]

    @classmethod
    def of(cls, order: Order | None) -> "Summary":
        if order is None:
            return cls(order=None)
        price, price_error = _price(order)
        return cls(order=order, price=price, price_error=price_error, curl=_curl(order),
                   quota=tuple(lines(order.project, order.region, order.wanted)),
                   obstacles=tuple(wording.reason(code) for code in order.obstacles))


def _price(order: Order) -> tuple[Estimate | None, str]:
    try:
        return price_of(order.region, order.readings, database_now()), ""
    except PortalError as error:
        return None, error.detail


def _curl(order: Order) -> str:
    """The same order for programs; a name is quoted as a shell wants it."""
    body: dict[str, Any] = {"project": str(order.project.pk), "name": order.name, "region": str(order.region.pk),
                            "type": str(order.type.pk), "image": str(order.image.pk)}
    optional = {"zone": order.zone and str(order.zone.pk), "root_disk_gib": order.root_disk_gib,
                "subnets": _ids(order.networks.subnets), "security_groups": _ids(order.networks.groups or ()),
                "floating_ip": order.networks.has_floating_ip, "count": order.count if order.count > 1 else None,
                "ssh_keys": _ids(order.ssh_keys), "user_data": order.user_data}
    body |= {name: value for name, value in optional.items() if value}
    text = json.dumps(body, ensure_ascii=False, indent=2)
    return (f"curl -X POST {settings.SITE_URL}/api/v1/instances/ \\\n  -H \"Authorization: Bearer $MAINS_API_KEY\" \\\n"
            f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(text)}")


def _ids(rows: Iterable[Model]) -> list[str]:
    return [str(row.pk) for row in rows]


@page("instance.create", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """One page; sensible defaults, so that a newcomer only presses Create."""
    if request.method == "POST":
        return _order(request)
    project = default_project(request, "instance.create")
    if project is None:
        return render(request, "instances/create_nowhere.html")
    return _show(request, _filled(request, project), project)


@page("instance.create")
def summary(request: HttpRequest) -> HttpResponse:
    """The summary of what is chosen so far; re-fetched whenever the form changes."""
    project = fetch(request.user, Project.objects.select_related("organization"), "instance.create",
                    pk=request.GET.get("project"))
    form = OrderForm(request.GET, user=request.user, project=project)
    form.is_valid()
    return render(request, "instances/_summary.html", {"summary": Summary.of(form.order()), "form": form})


def _order(request: HttpRequest) -> HttpResponse:
    project = fetch(request.user, Project.objects.select_related("organization"), "instance.create",
                    pk=request.POST.get("project"))
    if "preview" in request.POST:
        return _show(request, _moved(request, project), project)
    form = OrderForm(request.POST, user=request.user, project=project)
    if not form.carried_out(lambda: operations.create_instance(form.order(), actor=request.user)):
        return _show(request, form, project, status=form.status)
    count = form.order().count
    if count > 1:
        messages.success(request, _("%(count)s instances are being made.") % {"count": count})
        return redirect("instances:list")
    return redirect("instances:detail", form.made.target_id)


def _moved(request: HttpRequest, project: Project) -> OrderForm:
    """The form as sent, for the project and region chosen in it: what these do not have gives way to their defaults."""
    sent = request.POST.copy()
    form = OrderForm(sent, user=request.user, project=project)
    if form.is_valid():
        return form
    defaults = _defaults(request, project, form.place) | form.network_defaults()
    for name in set(form.errors) & set(OrderForm.OF_PLACE):
        value = defaults.get(name)
        sent.setlist(name, value if isinstance(value, list) else [value or ""])
    form = OrderForm(sent, user=request.user, project=project)
    form.is_valid()
    return form


def _filled(request: HttpRequest, project: Project) -> OrderForm:
    """The form with its defaults, for the first region."""
    region = Region.objects.filter(is_open=True).first()
    initial = _defaults(request, project, region)
    form = OrderForm(initial=initial, user=request.user, project=project)
    form.initial |= form.network_defaults()
    return form


def _defaults(request: HttpRequest, project: Project, region: Region | None) -> dict[str, object]:
    images = Image.objects.visible_to(request.user).filter(state=Image.State.ACTIVE, region=region)
    keys = SshKey.objects.visible_to(request.user).filter(project=project)
    kind = InstanceType.objects.filter(is_offered=True).first()
    return {"project": project.pk, "region": region and region.pk,
            "image": getattr(images.order_by("name", "pk").first(), "pk", None),
            "type": kind and kind.pk, "name": suggested_name(), "count": 1,
            "ssh_keys": list(keys.values_list("pk", flat=True))}


def _show(request: HttpRequest, form: OrderForm, project: Project, status: int = 200) -> HttpResponse:
    order = form.order() if form.is_bound else _order_of(form)
    context = {"form": form, "project": project, "summary": Summary.of(order), "types": _priced_types(form, form.place)}
    return render(request, "instances/create.html", context, status=status)


def _order_of(form: OrderForm) -> Order | None:
    """The defaults as an order, so that the first page shows a price already."""
    filled = QueryDict(mutable=True)
    for name, value in form.initial.items():
        filled.setlist(name, value if isinstance(value, list) else [value if value is not None else ""])
    bound = type(form)(filled, **form.scope)
    bound.is_valid()
    return bound.order()


def _priced_types(form: OrderForm, region: Region | None) -> list[tuple[InstanceType, Money | None]]:
    """Every size with what it alone costs an hour, in one look at the prices."""
    kinds = list(form.fields["type"].queryset)
    readings = [reading for kind in kinds for reading in Instance(type=kind).readings(InstanceState.RUNNING)]
    try:
        found = price_of(region, readings, database_now()) if region and readings else None
    except PortalError:  # one size without a price: cards stay bare, the summary says which
        found = None
    hourly = {line.sku: line.hourly for line in found.lines} if found else {}
    return [(kind, hourly.get(kind.slug)) for kind in kinds]
