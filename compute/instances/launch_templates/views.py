"""Pages of launch templates: the list, one with its versions. They are saved from the create page of instances."""
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances.forms import OrderForm
from compute.instances.launch_templates import verbs
from compute.instances.launch_templates.lists import EFFECT, LaunchTemplateList
from compute.instances.launch_templates.models import CALLED, LaunchTemplate, LaunchTemplateVersion
from compute.instances.launch_templates.prefill import ONE_OF, SOME_OF
from compute.instances.models import InstanceType, SshKey
from compute.instances.views.sheets import Action, Danger, Sheet, Tab, edit_action, may_not, show, timeline_tab
from compute.network.models import SecurityGroup, Subnet
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Resource, Zone
from portal.kernel.pages import acted
from storage.models import Image
from tenants.access import fetch
from tenants.pages import page

LIST = "launch_templates:list"
CHOSEN = (*ONE_OF, *SOME_OF)
"""Values that are ids."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A field of a version in words; `is_gone`: some of what it names is not there any more."""

    label: Any
    text: str
    is_gone: bool = False


@page(verbs.VIEW)
def listing(request: HttpRequest) -> HttpResponse:
    return LaunchTemplateList(request).answer()


def _template(request: HttpRequest, pk: UUID, permission: str) -> LaunchTemplate:
    return fetch(request.user, LaunchTemplate.objects.select_related("project__organization", "region"), permission, pk=pk)


@page(verbs.VIEW)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview or timeline; `?version=` shows another one than the default."""
    found = _template(request, pk, verbs.VIEW)
    tabs = {"overview": Tab(label=_("Overview"), part="instances/_template.html", is_live=False, content=lambda: _overview(
        request, found)), "timeline": timeline_tab(request, lambda: [pk])}
    use = Action(label=_("Use template"), symbol="plus", url=f"{reverse('instances:create')}?template={pk}", is_link=True,
                 why_not=may_not(request, "instance.create", found))
    return show(request, Sheet(row=found, list_page=LIST, lead="instances/_template_lead.html", tabs=tabs,
                               live=f"launch_template:{pk}", context={"template": found},
                               actions=[use, edit_action(request, found, verbs.UPDATE, "launch_templates:edit")]))


def _overview(request: HttpRequest, template: LaunchTemplate) -> dict[str, Any]:
    versions = list(template.versions.select_related("created_by").order_by("-number"))
    asked = request.GET.get("version", "")
    for one in versions:
        one.template = template
    looked_at = next((one for one in versions if str(one.number) == asked), None) or next(
        one for one in versions if one.number == template.default_version)
    return {"versions": versions, "looked_at": looked_at, "facts_of_version": facts(request.user, looked_at),
            "may_update": request.user.grants.allows(verbs.UPDATE, template),
            "may_use": request.user.grants.allows("instance.create", template), "danger": _danger(request, template)}


def facts(user: Any, version: LaunchTemplateVersion) -> list[Fact]:
    """What it says, with rows by the names that they have now; what the reader does not see is as if it were gone."""
    names = _names(user, version)
    found = [_fact(name, version.values[name], names) for name in (*CALLED, *OrderForm.base_fields) if name in version.values]
    return [*found, Fact(label=_label("user_data"), text=_("kept, and not shown"))] if version.user_data else found


def _label(name: str) -> Any:
    return OrderForm.base_fields[CALLED.get(name, name)].label


def _fact(name: str, value: Any, names: dict[str, str]) -> Fact:
    if name not in CHOSEN:
        return Fact(label=_label(name), text=_in_words(value))
    pks = value if isinstance(value, list) else [value]
    known = [names[pk] for pk in pks if pk in names]
    return Fact(label=_label(name), text=", ".join(known), is_gone=len(known) < len(pks))


def _names(user: Any, version: LaunchTemplateVersion) -> dict[str, str]:
    """Of the rows that it names, by id, in four statements."""
    values, project = version.values, version.template.project_id
    kinds = [model.KIND for model in (SshKey, Subnet, SecurityGroup)
             if user.grants.may(registry.kinds[model.KIND].permission, project)]
    own = [pk for name in SOME_OF for pk in values.get(name, ())]
    asked = (Zone.objects.filter(pk=values.get("zone")), InstanceType.objects.visible_to(user).filter(pk=values.get("type")),
             Image.objects.visible_to(user).filter(pk=values.get("image")),
             Resource.objects.live().filter(pk__in=own, project=project, kind__in=kinds))
    return {str(pk): name for rows in asked for pk, name in rows.values_list("pk", "name")}


def _in_words(value: Any) -> str:
    if value is True:
        return _("yes")
    if isinstance(value, dict):
        return ", ".join(f"{key}:{text}" if text else key for key, text in value.items())
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _danger(request: HttpRequest, template: LaunchTemplate) -> Danger:
    return Danger(effects=[EFFECT], action=Action(
        label=_("Delete launch template"), symbol="trash", is_bad=True,
        url=reverse("launch_templates:delete", args=[template.pk]), text=EFFECT,
        question=_("Delete the launch template “%(name)s”?") % {"name": template.name},
        why_not=may_not(request, verbs.DELETE, template)))


@page(verbs.UPDATE, methods=("POST",))
def default(request: HttpRequest, pk: UUID) -> HttpResponse:
    """From which version instances are made when none is named."""
    found, number = _template(request, pk, verbs.UPDATE), request.POST.get("version", "")
    if not (number.isascii() and number.isdecimal()):
        raise InvalidInput.field("default_version", _("There is no such version."))
    verbs.choose_default(found, int(number), actor=request.user)
    return acted(request, _("Version %(number)s is the default one now.") % {"number": number},
                 reverse("launch_templates:detail", args=[pk]), leave=True)


@page(verbs.DELETE, methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _template(request, pk, verbs.DELETE)
    if "confirmed" not in request.POST:
        return render(request, "ui/confirm.html", {
            "title": _("Delete the launch template “%(name)s”?") % {"name": found.name}, "yes": _("Delete"),
            "action": request.path, "text": EFFECT, "back": reverse("launch_templates:detail", args=[pk])})
    verbs.delete_template(found, actor=request.user)
    return acted(request, _("The launch template was deleted."), reverse(LIST), leave=True)
