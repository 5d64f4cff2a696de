"""Limits of projects and organizations, and requests for higher ones: looking, setting, asking, answering."""
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances.views.sheets import may_not
from compute.network.views.asking import ask as confirm
from compute.network.views.asking import sent, show_form
from portal.kernel.errors import NotFound
from portal.kernel.models import Region
from portal.kernel.pages import acted
from portal.notifications import activity_of
from portal.queries import projects as queries
from portal.quota_forms import GrantForm, LimitsForm, QuotaRequestForm, RefuseForm, own_limits
from portal.quota_lists import TONES, QuotaRequestList
from portal.templatetags.ui import dimension_label
from tenants import quota_requests
from tenants.access import fetch
from tenants.limits import Scope, may_set_limits, own_lines, require_to_set_limits, set_limits
from tenants.models import Organization, Project, QuotaRequest
from tenants.models.quotas import MANAGE
from tenants.pages import page
from tenants.quota_requests import ASK
from tenants.scope import current_region, know_regions

# -- limits --

@page("project.view")
def organization(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What the organization as a whole uses and may use: in one region at a time, `?region=` or the one that is looked at."""
    found = fetch(request.user, Organization.objects, "project.view", pk=pk)
    know_regions(request, known := activity_of(request).regions)
    asked = next((one for one in known if one.slug == request.GET.get("region")), None)
    region = asked or current_region(request) or next(iter(known), None)
    return render(request, "tenants/quotas.html", {
        "owner": found, "regions": queries.limits(found, region), **offers(request, found),
        "others": [one for one in known if one != region],
        "crumbs": [(found.name, reverse("organizations:list"))]})


def offers(request: HttpRequest, scope: Scope) -> dict[str, object]:
    """What else the bars of a scope offer: to set its limits, or to ask for more."""
    name = "projects:limits" if isinstance(scope, Project) else "organizations:limits"
    may_set = may_set_limits(request.user, scope)
    return {"limits_url": reverse(name, args=[scope.pk]) if may_set else "",
            "ask_url": f"{reverse('quota_requests:create')}?scope={scope.pk}"
            if not may_set and not may_not(request, ASK, scope) else ""}


@page(MANAGE, methods=("GET", "POST"))
def limits_of_project(request: HttpRequest, pk: UUID) -> HttpResponse:
    """By whoever manages what is above it."""
    project = fetch(request.user, Project.objects.select_related("organization", "parent"), MANAGE, pk=pk)
    return _limits(request, project, {}, f"{reverse('projects:detail', args=[pk])}?tab=quotas")


@page("staff", methods=("GET", "POST"))
def limits_of_organization(request: HttpRequest, pk: UUID) -> HttpResponse:
    """By those who run the site."""
    found = fetch(request.user, Organization.objects, MANAGE, pk=pk)
    return _limits(request, found, settings.PLANS[found.plan], reverse("organizations:quotas", args=[pk]))


def _limits(request: HttpRequest, scope: Scope, plan: dict[str, int], back: str) -> HttpResponse:
    require_to_set_limits(request.user, scope)
    region = _region(request)
    form = LimitsForm(sent(request), lines=own_lines(scope, region, lately=True), own=own_limits(scope, region), plan=plan)
    if request.method == "POST" and form.carried_out(
            lambda: set_limits(scope, form.limits(region), actor=request.user)):
        for line in form.made:
            messages.warning(request, _("%(resource)s: %(used)s are used already, more than %(limit)s. Nothing new is made until "
                                        "there is room.") % {"resource": dimension_label(line.resource), "used": line.used,
                                                             "limit": line.limit})
        return acted(request, _("Saved."), back)
    title = _("Limits of %(scope)s in %(region)s") if region else _("Limits of %(scope)s for all regions together")
    return show_form(
        request, form, title=title % {"scope": scope.name, "region": region and region.name}, action=_("Save"), back=back,
        lead=_("Empty: no limit of its own. What is above is asked as well, so that a higher limit than there helps nobody."),
        crumbs=[(scope.name, back)])


def _region(request: HttpRequest) -> Region | None:
    """The one that is asked for; without one, what is counted for all together."""
    slug = request.GET.get("region", "")
    found = Region.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        raise NotFound
    return found


# -- requests --

@page("project.view")
def listing(request: HttpRequest) -> HttpResponse:
    return QuotaRequestList(request).answer()


@page(ASK, methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """`?scope=&resource=&region=` choose beforehand."""
    given = {name: request.GET.get(name, "") for name in ("scope", "resource", "region")}
    form = QuotaRequestForm(sent(request), user=request.user, **given)
    if request.method == "POST" and form.carried_out(lambda: quota_requests.ask(**form.asked, actor=request.user)):
        return acted(request, _("Your request was sent to those who decide."), reverse("quota_requests:list"))
    lead = _("A request for a project goes to whoever manages what is above it, one for an organization to the operators.")
    return show_form(request, form, title=_("Ask for more"), action=_("Send request"), lead=lead,
                     back=reverse("quota_requests:list"))


@page("project.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _show(request, _fetch(request, pk))


def _fetch(request: HttpRequest, pk: UUID, permission: str = "project.view") -> QuotaRequest:
    rows = QuotaRequest.objects.select_related("organization", "project__organization", "project__parent", "region",
                                               "requested_by", "decided_by")
    return fetch(request.user, rows, permission, pk=pk)


def _show(request: HttpRequest, row: QuotaRequest, grant: GrantForm | None = None,
          refuse: RefuseForm | None = None) -> HttpResponse:
    user, is_open = request.user, row.state == QuotaRequest.State.OPEN
    line = next((one for one in own_lines(row.scope, row.region, lately=True) if one.resource == row.dimension), None)
    context: dict[str, Any] = {"row": row, "line": line, "tone": TONES[row.state], "crumbs": [(str(row.scope), "")]}
    if is_open and may_set_limits(user, row.scope):
        context |= {"grant": grant or GrantForm(initial={"granted": row.wanted}), "refuse": refuse or RefuseForm()}
    context["may_withdraw"] = is_open and not may_not(request, ASK, row.scope)
    return render(request, "tenants/quota_request.html", context, status=max(form.status for form in (grant, refuse) if form)
                  if grant or refuse else 200)


@page(MANAGE, methods=("POST",))
def grant(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = _fetch(request, pk, MANAGE)
    form = GrantForm(request.POST)
    if form.carried_out(lambda: quota_requests.grant(row, **form.cleaned_data, actor=request.user)):
        return acted(request, _("The limit was raised."), reverse("quota_requests:list"), leave=True)
    return _show(request, row, grant=form)


@page(MANAGE, methods=("POST",))
def refuse(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = _fetch(request, pk, MANAGE)
    form = RefuseForm(request.POST)
    if form.carried_out(lambda: quota_requests.refuse(row, **form.cleaned_data, actor=request.user)):
        return acted(request, _("The request was refused."), reverse("quota_requests:list"), leave=True)
    return _show(request, row, refuse=form)


@page(ASK, methods=("POST",))
def withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = _fetch(request, pk, ASK)
    question = confirm(request, title=_("Withdraw this request?"), yes=_("Withdraw"), text=_("The limit stays as it is."),
                       back=reverse("quota_requests:detail", args=[pk]))
    if question:
        return question
    quota_requests.withdraw(row, actor=request.user)
    return acted(request, _("The request was withdrawn."), reverse("quota_requests:list"), leave=True)
