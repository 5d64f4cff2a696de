"""The organizations that somebody belongs to: name, plan, how many projects; rename, delete, and what a suspension means."""
from uuid import UUID

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances.views.sheets import Action, Danger, may_not
from compute.network.views.asking import ask, sent, show_form
from portal.forms import OrganizationForm
from portal.kernel.pages import acted
from tenants import operations, structure
from tenants.access import fetch
from tenants.models import Organization
from tenants.pages import SIGNED_IN, page

MANAGE = "organization.manage"
MOST = 50


@page(SIGNED_IN)
def listing(request: HttpRequest) -> HttpResponse:
    rows = Organization.objects.visible_to(request.user).annotate(
        living=Count("projects", filter=Q(projects__deleted_at=None))).order_by("name", "pk")
    return render(request, "tenants/organizations.html", {
        "found": [(row, may_not(request, MANAGE, row), _danger(request, row),
                   request.user.grants.allows("project.view", row)) for row in rows[:MOST]]})


def _danger(request: HttpRequest, row: Organization) -> Danger:
    why_not = may_not(request, MANAGE, row) or (_("Delete its projects first.") if row.living else "")
    text = _("Everybody's roles in it end. This cannot be undone.")
    return Danger(effects=[_("Possible when all of its projects are deleted."), text], action=Action(
        label=_("Delete organization"), symbol="trash", url=reverse("organizations:delete", args=[row.pk]), is_bad=True,
        question=_("Delete the organization “%(name)s”?") % {"name": row.name}, text=text, typed=row.name, why_not=why_not))


@page(MANAGE, methods=("GET", "POST"))
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Its name, and whether it requires a second factor."""
    row = fetch(request.user, Organization.objects, MANAGE, pk=pk)
    form = OrganizationForm(sent(request), initial={"name": row.name, "requires_mfa": row.requires_mfa})
    if request.method == "POST" and form.carried_out(
            lambda: operations.change_organization(row, actor=request.user, **form.cleaned_data)):
        return acted(request, _("Saved."), reverse("organizations:list"))
    return show_form(request, form, title=_("Settings of the organization"), action=_("Save"), back=reverse("organizations:list"))


@page(MANAGE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = fetch(request.user, Organization.objects, MANAGE, pk=pk)
    question = ask(request, title=_("Delete the organization “%(name)s”?") % {"name": row.name}, name=row.name, yes=_("Delete"),
                   text=_("Everybody's roles in it end. This cannot be undone."), back=reverse("organizations:list"))
    if question:
        return question
    structure.delete_organization(row, actor=request.user)
    return acted(request, _("The organization was deleted."), reverse("organizations:list"), leave=True)
