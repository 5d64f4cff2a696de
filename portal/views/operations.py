"""Operations: all of a tenant's, the drawer on every page, one in detail, and the operators' page for those stuck."""
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal import lists
from portal.kernel.models import Operation
from portal.kernel.pages import acted, fragment
from portal.progress import shown
from tenants.access import fetch
from tenants.pages import STAFF, page

PARTS_SHOWN = 50
IN_DRAWER = 12


def _rows(request: HttpRequest) -> QuerySet[Operation]:
    return Operation.objects.visible_to(request.user).select_related("target", "project__organization", "actor",
                                                                      "region")


@page("operation.view")
def listing(request: HttpRequest) -> HttpResponse:
    """Newest first."""
    return lists.OperationList(request).answer()


@page("operation.view")
def drawer(request: HttpRequest) -> HttpResponse:
    """The latest, for the drawer; live ones first."""
    rows = _rows(request).order_by("-created_at", "-pk")
    live = list(rows.unfinished()[:IN_DRAWER])
    rest = list(rows.exclude(state__in=Operation.LIVE)[:IN_DRAWER - len(live)])
    return render(request, "operations/_drawer.html", {"rows": shown([*live, *rest], request.user)})


@page("operation.view")
def button(request: HttpRequest) -> HttpResponse:
    """The frame's two buttons: how many are under way, and the bell."""
    return render(request, "operations/_buttons.html")


@page("operation.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.view", pk=pk)
    [work] = shown([operation], request.user)
    return fragment(request, "operations/detail.html", "operations/_detail.html", operation=operation, work=work,
                    children=operation.children.select_related("target").order_by("created_at", "pk")[:PARTS_SHOWN],
                    in_flight=operation.is_live)


@page("operation.cancel", methods=("POST",))
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.cancel", pk=pk)
    lists.cancel(operation, request.user)
    return acted(request, _("Cancelling: what was done so far is undone."), reverse("operations:detail", args=[pk]))


@page(STAFF)
def needing_a_person(request: HttpRequest) -> HttpResponse:
    """What the engine cannot settle alone, with what it will do next."""
    return lists.StuckList(request).answer()


@page(STAFF, methods=("POST",))
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.view", pk=pk)
    lists.retry(operation, request.user)
    return acted(request, _("Trying again now."), reverse("operator:operations"))


@page(STAFF, methods=("POST",))
def operator_cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.cancel", pk=pk)
    lists.cancel(operation, request.user)
    return acted(request, _("Cancelling: what was done so far is undone."), reverse("operator:operations"))
