"""The page of a security group: its rules with the form for one more, and the instances that use it."""
from collections.abc import Mapping
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import related
from compute.instances.views.sheets import UNDER_WAY, Action, Danger, Sheet, Tab, edit_action, may_not, show, timeline_tab
from compute.network import operations, queries
from compute.network.forms import RuleForm
from compute.network.models import SecurityGroup
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page


@page("securitygroup.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` rules, instances or timeline."""
    group = _fetch(request, "securitygroup.view", pk)
    return _show(request, group, RuleForm(user=request.user, group=group))


@page("securitygroup.manage", methods=("POST",))
def add_rule(request: HttpRequest, pk: UUID) -> HttpResponse:
    group = _fetch(request, "securitygroup.manage", pk)
    form = RuleForm(request.POST, user=request.user, group=group)
    if form.carried_out(lambda: operations.add_rule(group, actor=request.user, **form.rule())):
        return acted(request, _("The rule was added; it works within 2 seconds."), reverse("security_groups:detail", args=[pk]))
    return _show(request, group, form)


def _show(request: HttpRequest, group: SecurityGroup, form: RuleForm) -> HttpResponse:
    tabs = {"rules": Tab(label=_("Rules"), part="network/_group_rules.html", is_live=False,
                         content=lambda: _rules(request, group, form)),
            "instances": Tab(label=_("Instances"), part="resources/_instances.html", content=lambda: {
                **related.shown(request, related.with_group(group)), "no_instances": _("No instance uses this group.")}),
            "timeline": timeline_tab(request, lambda: [group.pk])}
    return show(request, Sheet(
        row=group, list_page="security_groups:list", lead="network/_group_lead.html", tabs=tabs, context={"group": group},
        live=f"security_group:{group.pk} port",
        actions=[edit_action(request, group, "securitygroup.manage", "security_groups:edit")]), status=form.status)


def _rules(request: HttpRequest, group: SecurityGroup, form: RuleForm) -> Mapping[str, object]:
    [row] = queries.group_rows([group])
    return {"row": row, "form": form, "rules": queries.rule_rows(group), "danger": _danger(request, group, row),
            "may_manage": request.user.grants.may("securitygroup.manage", group.project_id)}


def _danger(request: HttpRequest, group: SecurityGroup, row: queries.GroupRow) -> Danger:
    effects = [_("Its rules go with it: what only they allowed is dropped.")]
    why_not = ""
    if group.is_default:
        why_not = _("The default group stays: instances without another one get it.")
    elif row.ports:
        why_not = _("Ports use it.")
    return Danger(effects=effects, action=Action(
        label=_("Delete security group"), symbol="trash", url=reverse("security_groups:delete", args=[group.pk]), is_bad=True,
        question=_("Delete the security group “%(name)s”?") % {"name": group.name}, text="\n".join(effects),
        why_not=may_not(request, "securitygroup.manage", group) or why_not))


def _fetch(request: HttpRequest, permission: str, pk: UUID) -> SecurityGroup:
    rows = SecurityGroup.objects.select_related("project__organization", "region", *UNDER_WAY)
    return fetch(request.user, rows, permission, pk=pk)
