"""The audit trail: the list with its chains, and one row with all that was written."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal.kernel.models import AuditEvent
from portal.trail import SELECTED, TrailList, changes_of
from tenants.access import fetch
from tenants.pages import page


@page("audit.view")
def listing(request: HttpRequest) -> HttpResponse:
    """Newest first; `?format=csv` and `?format=jsonl` are files of the same rows."""
    return TrailList(request).answer()


@page("audit.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = AuditEvent.objects.select_related(*SELECTED, "resource", "operation", "chain")
    event = fetch(request.user, rows, "audit.view", pk=pk)
    return render(request, "audit/detail.html", {"event": event, "changes": changes_of(event)})
