"""List, detail and verbs of instances."""
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import operations, queries
from compute.instances.models import Instance, InstanceState
from compute.instances.verbs import Verb
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import acted, fragment, is_fragment
from tenants.access import fetch
from tenants.pages import page
from tenants.scope import current_project, narrow

ROWS_A_PAGE = 50
# Never shown in lists: secrets that would be decrypted for nothing.
HEAVY = ("user_data", "vnc_password", "public_keys")


def _rows(request: HttpRequest) -> QuerySet[Instance]:
    return Instance.objects.visible_to(request.user).defer(*HEAVY).select_related(
        "project__organization", "region", "zone", "type", "image", "host")


@page("instance.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first; `?state=`, `?name=`, `?page=`."""
    state, name = request.GET.get("state", ""), request.GET.get("name", "").replace("\0", "").strip()
    rows = narrow(request, _rows(request))
    if state in InstanceState.values:
        rows = rows.filter(state=state)
    if name:
        rows = rows.filter(name__icontains=name[:100])
    found = Paginator(rows.order_by("-created_at", "-pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    shown = queries.rows(list(found), request.user)
    return fragment(request, "instances/list.html", "instances/_table.html", page=found, state=state, name=name,
                    rows=shown, project=current_project(request),
                    states=[(value, label) for value, label in InstanceState.choices if value != "deleted"],
                    is_filtered=bool(state or name), in_flight=any(instance.in_flight for instance in found))


@page("instance.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One instance; `?tab=` overview, network, console, events or cost."""
    instance = fetch(request.user, _rows(request).defer("user_data", "vnc_password"), "instance.view", pk=pk)
    tab = request.GET.get("tab", "overview")
    tab = tab if tab in queries.TABS else "overview"
    view = queries.Detail.of(instance, request.user)
    if is_fragment(request) and request.GET.get("part") == "header":
        return fragment(request, "instances/_header.html", "instances/_header.html", view=view, tab=tab)
    part = f"instances/_{tab}.html"
    return fragment(request, "instances/detail.html", part, view=view, instance=instance, tab=tab, part=part,
                    tabs=queries.tabs(instance).items(), **queries.TAB_CONTENT[tab](instance, request.user))


def act_on(verb: Verb) -> Callable[..., HttpResponse]:
    """The view of one verb: asks for confirmation where the table says so, then begins the operation."""

    @page(verb.permission, methods=("POST",))
    def act(request: HttpRequest, pk: UUID) -> HttpResponse:
        instance = fetch(request.user, _rows(request), verb.permission, pk=pk)
        verb.require(instance)
        if verb.confirm and "confirmed" not in request.POST:
            return _ask(request, verb, instance)
        if verb.is_dangerous and request.POST.get("typed_name", "").strip() != instance.name.strip():
            return _ask(request, verb, instance, error=_("This is not the name of the instance."))
        operations.act(instance, verb.name, actor=request.user, force="force" in request.POST and verb.takes_force)
        to = reverse("instances:list") if verb.name == "delete" else reverse("instances:detail", args=[pk])
        text = _("%(verb)s: %(name)s – accepted.") % {"verb": verb.label, "name": instance.name}
        return acted(request, text, to, leave=verb.name == "delete")

    return act


def _ask(request: HttpRequest, verb: Verb, instance: Instance, error: str = "") -> HttpResponse:
    """The confirmation as a page of its own; browsers with a script ask in a dialog before they send anything."""
    if is_fragment(request):
        raise InvalidInput.field("typed_name", error or _("Please confirm."))
    context: dict[str, Any] = {"verb": verb, "instance": instance, "error": error, "action": request.path}
    return render(request, "instances/confirm.html", context, status=400 if error else 200)


