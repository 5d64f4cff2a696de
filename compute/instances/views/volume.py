"""The page of one volume: what it is a disk of, what it costs, what was done to it, and what can be done."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import guarding, lost_files
from compute.instances.models import HEAVY, Instance
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
from compute.instances.volumes.views import DELETING, DETACHING
from storage.models import Volume
from tenants.access import fetch
from tenants.pages import page

S = Volume.State


@page("volume.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, timeline or cost."""
    rows = Volume.objects.select_related("project__organization", "region", "image", "pool__host", "attachment", *UNDER_WAY)
    volume = fetch(request.user, rows, "volume.view", pk=pk)
    owner = _owner(request, volume)
    tabs = {"overview": Tab(label=_("Overview"), part="storage/_volume.html", content=lambda: _overview(request, volume, owner)),
            "timeline": timeline_tab(request, lambda: [pk]), "cost": cost_tab(request, volume)}
    return show(request, Sheet(row=volume, list_page="volumes:list", lead="storage/_volume_lead.html", tabs=tabs,
                               live=f"volume:{pk} instance", in_flight=Volume.TONES[volume.state] == "busy",
                               context={"volume": volume, "alert": "storage/_lost.html", "is_lost": lost_files.is_lost(volume)},
                               actions=_actions(request, volume, owner)))


def _owner(request: HttpRequest, volume: Volume) -> Instance | None:
    """The instance that it is a disk of, as far as the reader may see it."""
    if not hasattr(volume, "attachment"):
        return None
    rows = Instance.objects.visible_to(request.user).defer(*HEAVY).select_related("host__endpoint", "locked_by")
    return rows.filter(pk=volume.attachment.domain).first()


def _overview(request: HttpRequest, volume: Volume, owner: Instance | None) -> dict[str, Any]:
    attachment = getattr(volume, "attachment", None)
    is_root = attachment is not None and attachment.is_boot
    return {"attachment": attachment, "owner": owner,
            "danger": None if is_root or volume.deleted_at else _danger(request, volume)}


def _actions(request: HttpRequest, volume: Volume, owner: Instance | None) -> list[Action]:
    """What is in an instance can be taken out, what is in none put into one; both can grow."""
    def link(name: str, label: Any, symbol: str, permission: str, why_not: Any, **more: Any) -> Action:
        return Action(label=label, symbol=symbol, url=reverse(f"volumes:{name}", args=[volume.pk]),
                      why_not=may_not(request, permission, volume) or why_not, **more)

    closed = _closed(owner)
    if not hasattr(volume, "attachment"):
        first = link("attach", _("Attach"), "link", "volume.attach", _not_while(volume, S.AVAILABLE), is_link=True)
    else:
        first = link("detach", _("Detach"), "unlink", "volume.attach", _root(volume) or _not_while(volume, S.IN_USE) or closed,
                     question=_("Detach “%(name)s”?") % {"name": volume.name}, text=DETACHING)
    grow = link("grow", _("Grow"), "maximize", "volume.create", _not_while(volume, S.AVAILABLE, S.IN_USE) or closed, is_link=True)
    return [first, grow, edit_action(request, volume, "volume.update", "volumes:edit")]


def _closed(owner: Instance | None) -> Any:
    """Why the disks of the instance stay as they are."""
    if owner is None:
        return ""
    refusal = places.refusal(owner) or guarding.refusal(owner, "attach")
    if owner.state not in places.READY:
        return _("Not possible while the instance is “%(state)s”.") % {"state": owner.get_state_display()}
    return refusal.detail if refusal else ""


def _root(volume: Volume) -> Any:
    return _("It is what its instance starts from.") if volume.attachment.is_boot else ""


def _not_while(volume: Volume, *legal: str) -> Any:
    return "" if volume.state in legal else _("Not possible while it is “%(state)s”.") % {"state": volume.get_state_display()}


def _danger(request: HttpRequest, volume: Volume) -> Danger:
    in_use = _("An instance has it: detach it first.") if volume.state == S.IN_USE else ""
    return Danger(effects=[DELETING], action=Action(
        label=_("Delete volume"), symbol="trash", url=reverse("volumes:delete", args=[volume.pk]), is_bad=True,
        question=_("Delete the volume “%(name)s”?") % {"name": volume.name}, text=DELETING, typed=volume.name,
        why_not=may_not(request, "volume.delete", volume) or in_use or _not_while(volume, S.AVAILABLE, S.ERROR)))
