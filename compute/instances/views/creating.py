"""The create page: a form, and a summary that says price, quota, placement and the same order by REST."""
import json
import shlex
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from billing.money import Money
from billing.prices import Estimate, price_of
from compute.hosts import placement
from compute.instances import operations, wording
from compute.instances.forms import OrderForm, suggested_name
from compute.instances.models import Instance, InstanceState, InstanceType, SshKey
from compute.instances.operations import Order
from portal.kernel.errors import Forbidden, PortalError
from portal.kernel.models import Region
from portal.kernel.states import database_now
from storage.models import Image
from tenants.access import fetch
from tenants.models import Project
from tenants.pages import page
from tenants.quotas import Line, lines
from tenants.scope import current_project, projects_of


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
        wanted = {"vcpu": order.type.vcpus, "memory_mib": order.type.memory_mib}
        reasons = placement.forecast(order.region, order.zone, wanted)
        return cls(order=order, price=price, price_error=price_error, curl=_curl(order),
                   quota=tuple(lines(order.project, order.region, order.wanted)),
                   obstacles=tuple(wording.reason(code) for code in reasons))


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
                "ssh_keys": [str(key.pk) for key in order.ssh_keys], "user_data": order.user_data}
    body |= {name: value for name, value in optional.items() if value}
    text = json.dumps(body, ensure_ascii=False, indent=2)
    return (f"curl -X POST {settings.SITE_URL}/api/v1/instances/ \\\n  -H \"Authorization: Bearer $MAINS_API_KEY\" \\\n"
            f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(text)}")


@page("instance.create", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """One page; sensible defaults, so that a newcomer only presses Create."""
    if request.method == "POST":
        return _order(request)
    project = _default_project(request)
    if project is None:
        return render(request, "instances/create_nowhere.html")
    form = OrderForm(initial=_defaults(request, project), user=request.user, project=project)
    return _show(request, form, project)


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
    form = OrderForm(request.POST, user=request.user, project=project)
    if not form.is_valid():
        return _show(request, form, project, status=400)
    if "preview" in request.POST:
        return _show(request, form, project)
    try:
        operation = operations.create_instance(form.order(), actor=request.user)
    except Forbidden:
        raise
    except PortalError as error:
        form.refuse(error.errors or {"": [error.detail]})
        return _show(request, form, project, status=error.status)
    return redirect(reverse("instances:detail", args=[operation.target_id]))


def _default_project(request: HttpRequest) -> Project | None:
    """The one being looked at, if instances may be made there; else the first where they may."""
    grants = request.user.grants
    allowed = [project for project in projects_of(request) if grants.may("instance.create", project.pk)]
    current = current_project(request)
    return current if current in allowed else next(iter(allowed), None)


def _defaults(request: HttpRequest, project: Project) -> dict[str, object]:
    region = Region.objects.filter(is_open=True).first()
    images = Image.objects.visible_to(request.user).filter(state=Image.State.ACTIVE, region=region)
    keys = SshKey.objects.visible_to(request.user).filter(project=project)
    kind = InstanceType.objects.filter(is_offered=True).first()
    return {"project": project.pk, "region": region and region.pk,
            "image": getattr(images.order_by("name", "pk").first(), "pk", None),
            "type": kind and kind.pk, "name": suggested_name(),
            "ssh_keys": list(keys.values_list("pk", flat=True))}


def _show(request: HttpRequest, form: OrderForm, project: Project, status: int = 200) -> HttpResponse:
    summary = Summary.of(form.order() if form.is_bound else _order_of(form))
    context = {"form": form, "project": project, "summary": summary, "types": _priced_types(form, _region_of(form))}
    return render(request, "instances/create.html", context, status=status)


def _region_of(form: OrderForm) -> Region | None:
    """The region chosen so far; None when what was sent is none."""
    try:
        return form.fields["region"].clean(form["region"].value())
    except ValidationError:
        return None


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
