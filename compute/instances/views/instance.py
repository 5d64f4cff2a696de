"""The page of one instance: `?tab=` overview, metrics, network, console, snapshots, timeline or cost."""
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from compute.instances import (
    abilities,
    addresses,
    details,
    guarding,
    lost_files,
    measured,
    timeline,
    watchdogs,
    wording,
)
from compute.instances.class_wording import special
from compute.instances.classes import OF_CLASS
from compute.instances.console import views as consoles
from compute.instances.lists.instances import RELATED
from compute.instances.models import Instance
from compute.instances.snapshots import tree as snapshots
from compute.instances.snapshots.verbs import VIEW as VIEW_SNAPSHOTS
from compute.instances.verbs import VERBS, Verb, offered
from compute.instances.views import agents, cards
from compute.instances.views.sheets import (
    UNDER_WAY,
    Action,
    Danger,
    Sheet,
    Tab,
    cost_tab,
    edit_action,
    may_not,
    show,
    timeline_tab,
)
from compute.instances.volumes import places
from compute.network.models import Fabric
from tenants.access import Known
from tenants.pages import page

SECRET = ("user_data", "next_user_data", "vnc_password", "password_hash", "next_password_hash")
SHOWN = (*(field.name for field in Instance._meta.concrete_fields if field.name not in SECRET),
         "project__name", "project__organization__name", "region__name", "zone__name", "type__name", "type__slug",
         *(f"type__{name}" for name in OF_CLASS),
         "image__kind", "image__name", "image__tags", "image__os", "host__name", "host__endpoint__capabilities",
         "locked_by__username", "rescue_image__name", "hold__operation")


@page("instance.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What it is and does; live, part by part."""
    return show(request, sheet_of(request, INSTANCE.fetch(request.user, "instance.view", pk)))


def _rows() -> QuerySet[Instance]:
    has_network = Exists(Fabric.objects.filter(region=OuterRef("region")))
    rows = Instance.objects.select_related(*RELATED, "host__endpoint", "locked_by", "rescue_image", *UNDER_WAY)
    return rows.only(*SHOWN).annotate(has_network=has_network, is_lost=lost_files.have_lost(),
                                     has_snapshots=details.have_snapshots())


INSTANCE = Known(_rows)


def sheet_of(request: HttpRequest, instance: Instance) -> Sheet:
    may_open_console = not may_not(request, "instance.console", instance)
    tabs = {"overview": Tab(label=gettext_lazy("Overview"), part="instances/_overview.html",
                            content=lambda: _overview(request, instance)),
            "metrics": Tab(label=gettext_lazy("Metrics"), part="instances/_metrics.html", is_live=False,
                           content=lambda: measured.charts(instance, request.GET.get("range", ""))),
            "network": Tab(label=gettext_lazy("Network"), part="instances/_network.html",
                           content=lambda: _network(request, instance)),
            "console": Tab(label=gettext_lazy("Console"), part="instances/_console.html", is_live=False,
                           content=lambda: consoles.shared(request, instance) if may_open_console else {}),
            "snapshots": Tab(label=gettext_lazy("Snapshots"), part="instances/_snapshots.html",
                             content=lambda: snapshots.tree_of(request, instance)),
            "timeline": timeline_tab(request, lambda: timeline.subjects_of_instance(instance.pk)),
            "cost": cost_tab(request, instance, lambda: [row.pk for row in details.volumes_of(instance)])}
    if may_not(request, VIEW_SNAPSHOTS, instance):
        del tabs["snapshots"]
    if not instance.has_network:
        del tabs["network"]
    is_console = request.GET.get("tab") == "console" and may_open_console
    return Sheet(
        row=instance, list_page="instances:list", lead="instances/_lead.html", tabs=tabs, in_flight=instance.in_flight,
        live=f"instance:{instance.pk} volume port floating_ip security_group snapshot", actions=_actions(request, instance),
        context={"instance": instance, "observed": _observed(instance), "alert": "instances/_alert.html",
                 "why": instance.get_power_cause_display() if instance.power_cause else "",
                 "locked": guarding.why_kept(instance), "may_open_console": may_open_console,
                 "script": consoles.script_of(request) if is_console else "",
                 "head": _head(request, is_console)})


def _head(request: HttpRequest, is_console: bool) -> str:
    if is_console and request.GET.get("view") == consoles.SERIAL:
        return "instances/_serial_head.html"
    return "instances/_metrics_head.html" if request.GET.get("tab") == "metrics" else ""


def _observed(instance: Instance) -> str:
    """What the host says, where it differs from what we say."""
    expected = wording.EXPECTED.get(instance.state)
    differs = expected is not None and instance.observed_state not in ("", expected)
    return wording.observed(instance.observed_state) if differs else ""


def _actions(request: HttpRequest, instance: Instance) -> list[Action]:
    """Deleting is in the danger zone: the button leads there."""
    verbs = [verb_action(request, verb, instance) for verb in offered(instance) if not verb.is_bad]
    danger = verb_action(request, _ending(instance)[0], instance)
    there = f"{reverse('instances:detail', args=[instance.pk])}#danger"
    return [*verbs, edit_action(request, instance, "instance.update", "instances:edit"),
            Action(label=danger.label, symbol=danger.symbol, url=there, is_link=True, is_bad=True, why_not=danger.why_not)]


def _ending(instance: Instance) -> list[Verb]:
    """The ways to delete it, mildest first."""
    return [verb for verb in offered(instance) if verb.is_bad]


def verb_action(request: HttpRequest, verb: Verb, instance: Instance, text: str = "") -> Action:
    """The button of a verb; `text` is what is asked before, where the table's sentence does not do."""
    allowed = request.user.grants.may(verb.permission, instance.project_id)
    question = _("%(verb)s “%(name)s”?") % {"verb": verb.label, "name": instance.name} if verb.confirm else ""
    return Action(label=verb.label, symbol=verb.icon, url=reverse(f"instances:{verb.name}", args=[instance.pk]),
                  why_not=str(verb.why_not(instance)) if allowed else _("Your role does not include this."),
                  question=question, text=text or verb.confirm, is_bad=verb.is_bad, is_link=verb.has_form,
                  typed=instance.name if verb.is_dangerous else "", in_menu=verb.in_menu)


def _overview(request: HttpRequest, instance: Instance) -> Mapping[str, object]:
    parts = details.Parts.of(instance, request.user)
    return {"parts": parts, "addresses": parts.addresses, "danger": _danger(request, instance, parts),
            "guards": _guards(request, instance), "disks": _disks(request, instance),
            "abilities": abilities.table(instance.type), "special": special(instance.type),
            **agents.shown(request, instance)}


def _disks(request: HttpRequest, instance: Instance) -> list[Action]:
    """What gives it further volumes."""
    refusal = places.refusal(instance) or guarding.refusal(instance, "attach")
    why_not = refusal.detail if refusal else ""
    return [Action(label=_("Create volume"), symbol="plus", is_link=True,
                   url=f"{reverse('volumes:create')}?instance={instance.pk}",
                   why_not=may_not(request, "volume.create", instance) or why_not),
            Action(label=_("Attach volume"), symbol="link", is_link=True,
                   url=reverse("instances:attach-volume", args=[instance.pk]),
                   why_not=may_not(request, "volume.attach", instance) or why_not)]


def _guards(request: HttpRequest, instance: Instance) -> list[Action]:
    """The lock and the termination protection, each the other way round."""
    def action(name: str, label: Any, symbol: str, permission: str, why_not: str = "", *, is_link: bool = False) -> Action:
        return Action(label=label, symbol=symbol, url=reverse(f"instances:{name}", args=[instance.pk]), is_link=is_link,
                      why_not=may_not(request, permission, instance) or why_not)

    if instance.locked_at is None:
        lock = action("lock", _("Lock"), "lock", guarding.LOCK, is_link=True)
        why_not = ""
    else:
        lock = action("unlock", _("Unlock"), "lock", guarding.LOCK, guarding.why_not_unlock(instance, request.user))
        why_not = _("It is locked.")
    name, label = ("unprotect", _("Let it be deleted")) if instance.is_protected else ("protect", _("Protect against deletion"))
    return [lock, action(name, label, "shield", guarding.PROTECT, why_not),
            action("watchdog", _("Set watchdog"), "activity", watchdogs.PERMISSION, why_not, is_link=True)]


def _danger(request: HttpRequest, instance: Instance, parts: details.Parts) -> Danger:
    floating, found = details.floating_of(parts.addresses), []
    for verb in _ending(instance):
        effects = details.EFFECTS[verb.name](instance, parts.volumes, floating)
        found.append(Danger(action=verb_action(request, verb, instance, text="\n".join(effects)), effects=effects))
    if any(not volume.attachment.is_boot for volume in parts.volumes):
        effects = details.effects_of_deleting(instance, parts.volumes, floating, with_volumes=True)
        last = verb_action(request, VERBS["purge"], instance, text="\n".join(effects))
        found.append(Danger(effects=effects, action=replace(
            last, label=_("Delete for good, with its volumes"), url=f"{last.url}?volumes=true",
            why_not=may_not(request, places.DELETE, instance) or last.why_not)))
    return replace(found[0], others=found[1:])


def _network(request: HttpRequest, instance: Instance) -> dict[str, Any]:
    """Its ports, with what may be done to them and how one more is added."""
    may = {name: request.user.grants.may(permission, instance.project_id) for name, permission in (
        ("manage", "vpc.manage"), ("associate", "floatingip.associate"))}
    found = addresses.addresses(instance)
    rows = [(one, [cards.remove_action(request, instance, one.port, one.floating.address if one.floating else "")])
            for one in found]
    return {"rows": rows, "may": may, "adding": [cards.add_action(request, instance)]}
