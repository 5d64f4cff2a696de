"""Operations: all of a tenant's, the drawer on every page, one in detail, and the operators' page for those stuck."""
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal import queries
from portal.kernel import audit
from portal.kernel.models import Operation
from portal.kernel.operations import kinds, request_cancel
from portal.kernel.operations.submit import retry_now
from portal.kernel.pages import acted, fragment
from tenants.access import fetch
from tenants.pages import STAFF, page
from tenants.scope import narrow

ROWS_A_PAGE = 50
IN_DRAWER = 12


def _rows(request: HttpRequest) -> QuerySet[Operation]:
    return Operation.objects.visible_to(request.user).select_related("target", "project__organization", "actor",
                                                                      "region")


def may_cancel(operation: Operation, user: object) -> bool:
    """Whether the engine would still turn back, and the user may ask it to."""
    if not operation.is_live or operation.undoing or operation.cancel_requested_at or operation.kind not in kinds:
        return False
    return not kinds[operation.kind].is_past_pivot(operation) and user.grants.allows("operation.cancel", operation)


def _shown(operations: QuerySet[Operation] | list[Operation], user: object) -> list[tuple[Operation, bool]]:
    return [(operation, may_cancel(operation, user)) for operation in operations]


@page("operation.view")
def listing(request: HttpRequest) -> HttpResponse:
    """Newest first; `?state=`, `?page=`."""
    state = request.GET.get("state", "")
    rows = narrow(request, _rows(request))
    if state in Operation.State.values:
        rows = rows.filter(state=state)
    found = Paginator(rows.order_by("-created_at", "-pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    return fragment(request, "operations/list.html", "operations/_list.html", page=found, state=state,
                    rows=_shown(found, request.user), states=Operation.State.choices,
                    in_flight=any(operation.is_live for operation in found))


@page("operation.view")
def drawer(request: HttpRequest) -> HttpResponse:
    """The latest, for the drawer; live ones first."""
    rows = _rows(request).order_by("-created_at", "-pk")
    live = list(rows.unfinished()[:IN_DRAWER])
    rest = list(rows.exclude(state__in=Operation.LIVE)[:IN_DRAWER - len(live)])
    return render(request, "operations/_drawer.html", {"rows": _shown([*live, *rest], request.user)})


@page("operation.view")
def button(request: HttpRequest) -> HttpResponse:
    """The button that opens the drawer, with how many are under way."""
    return render(request, "operations/_button.html")


@page("operation.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.view", pk=pk)
    return fragment(request, "operations/detail.html", "operations/_detail.html", operation=operation,
                    can_cancel=may_cancel(operation, request.user), in_flight=operation.is_live)


@page("operation.cancel", methods=("POST",))
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.cancel", pk=pk)
    _cancel(request, operation)
    return acted(request, _("Cancelling: what was done so far is undone."), reverse("operations:detail", args=[pk]))


def _cancel(request: HttpRequest, operation: Operation) -> None:
    request_cancel(operation)
    audit.record("operation.cancel", operation, actor=request.user, operation=operation)


@page(STAFF)
def needing_a_person(request: HttpRequest) -> HttpResponse:
    """What the engine cannot settle alone, with what it will do next."""
    rows = queries.needing_a_person().select_related("target", "project__organization", "actor", "region")
    found = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    shown = [(operation, may_cancel(operation, request.user), _is_forward_only(operation)) for operation in found]
    return fragment(request, "operations/operator.html", "operations/_operator.html", page=found, rows=shown)


def _is_forward_only(operation: Operation) -> bool:
    return operation.kind in kinds and kinds[operation.kind].is_past_pivot(operation)


@page(STAFF, methods=("POST",))
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.view", pk=pk)
    retry_now(operation)
    audit.record("operation.retry", operation, actor=request.user, operation=operation)
    return acted(request, _("Trying again now."), reverse("operator:operations"))


@page(STAFF, methods=("POST",))
def operator_cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    operation = fetch(request.user, _rows(request), "operation.cancel", pk=pk)
    _cancel(request, operation)
    return acted(request, _("Cancelling: what was done so far is undone."), reverse("operator:operations"))
