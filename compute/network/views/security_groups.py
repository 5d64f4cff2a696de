"""Security groups: list, make, delete. The page of one is in `compute.instances.views.security_groups`."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network import operations, queries
from compute.network.forms import GroupForm
from compute.network.lists import GroupList
from compute.network.models import SecurityGroup, SecurityGroupRule
from compute.network.views.asking import ask, nowhere, place, sent, show_form
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page


@page("securitygroup.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, by name."""
    return GroupList(request).answer()


@page("securitygroup.manage", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    project = place(request, "securitygroup.manage")
    if project is None:
        return nowhere(request, _("Create security group"))
    form = GroupForm(sent(request), user=request.user, project=project)
    if request.method == "POST" and form.carried_out(
            lambda: operations.create_group(actor=request.user, **form.cleaned_data)):
        text = _("The security group was made. Now say what it lets in.")
        return acted(request, text, reverse("security_groups:detail", args=[form.made.pk]))
    lead = _("It starts with everything going out and nothing coming in.")
    region = form.initial["region"]
    return show_form(request, form, title=_("Create security group"), action=_("Create security group"), lead=lead,
                     back=reverse("security_groups:list"),
                     quota=queries.limited(project, region, {"security_groups": 1, "security_group_rules": 1}) if region else [])


@page("securitygroup.manage", methods=("POST",))
def delete_rule(request: HttpRequest, pk: UUID) -> HttpResponse:
    rule = fetch(request.user, SecurityGroupRule.objects.select_related("group__project", "remote_group"),
                 "securitygroup.manage", pk=pk)
    here = reverse("security_groups:detail", args=[rule.group_id])
    question = ask(request, title=_("Delete this rule of “%(name)s”?") % {"name": rule.group.name}, yes=_("Delete"), back=here,
                   text=_("Within 2 seconds it allows nothing any more; connections under way end too."))
    if question:
        return question
    operations.delete_rule(rule, actor=request.user)
    return acted(request, _("The rule was deleted."), here)


@page("securitygroup.manage", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    group = _fetch(request, "securitygroup.manage", pk)
    question = ask(request, title=_("Delete the security group “%(name)s”?") % {"name": group.name}, yes=_("Delete"),
                   text=_("Its rules go with it."), back=reverse("security_groups:detail", args=[pk]))
    if question:
        return question
    operations.delete_group(group, actor=request.user)
    return acted(request, _("The security group was deleted."), reverse("security_groups:list"), leave=True)


def _fetch(request: HttpRequest, permission: str, pk: UUID) -> SecurityGroup:
    return fetch(request.user, SecurityGroup.objects.select_related("project__organization", "region"), permission, pk=pk)
