"""What operators do in tenants' name or in tenants' projects: emergency accesses, and the end of acting as somebody."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network.views.asking import sent
from portal.kernel.pages import acted
from portal.kernel.rest.rights import STAFF
from portal.key_forms import BreakGlassForm
from tenants import glass, impersonation
from tenants.access import fetch
from tenants.models import BreakGlass
from tenants.pages import SIGNED_IN, page

MOST_SHOWN = 100


@page(STAFF, methods=("GET", "POST"))
def accesses(request: HttpRequest) -> HttpResponse:
    """Those that are open, the newest that are over, and a form that opens one."""
    form = BreakGlassForm(sent(request), user=request.user)
    if request.method == "POST" and form.carried_out(lambda: form.open(request.user)):
        return acted(request, _("The emergency access is open. The tenant has been told."), reverse("emergency:list"))
    rows = BreakGlass.objects.visible_to(request.user).select_related("operator", "organization", "project")
    newest = list(rows.order_by("-started_at", "-pk")[:MOST_SHOWN])
    return render(request, "operator/accesses.html", {"form": form, "rows": newest}, status=form.status)


@page(STAFF, methods=("POST",))
def end(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = fetch(request.user, BreakGlass.objects.select_related("organization", "project"), "audit.view", pk=pk)
    glass.end(row, actor=request.user)
    return acted(request, _("The emergency access has ended."), reverse("emergency:list"), leave=True)


@page(SIGNED_IN, methods=("POST",))
def stop_acting(request: HttpRequest) -> HttpResponse:
    """Back to oneself. For whoever acts as nobody it is done already."""
    if request.impersonation:
        impersonation.stop(request.impersonation, request=request)
        return acted(request, _("You are yourself again."), reverse("admin:tenants_impersonation_changelist"), leave=True)
    return acted(request, _("You are yourself."), reverse("dashboard"), leave=True)
