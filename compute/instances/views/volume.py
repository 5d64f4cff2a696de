"""The page of one volume: what it is a disk of, what it costs, what was done to it."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from compute.instances import lost_files
from compute.instances.models import HEAVY, Instance
from compute.instances.views.sheets import UNDER_WAY, Sheet, Tab, cost_tab, edit_action, show, timeline_tab
from storage.models import Volume
from tenants.access import fetch
from tenants.pages import page


@page("volume.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, timeline or cost."""
    rows = Volume.objects.select_related("project__organization", "region", "image", "pool__host", "attachment", *UNDER_WAY)
    volume = fetch(request.user, rows, "volume.view", pk=pk)
    tabs = {"overview": Tab(label=_("Overview"), part="storage/_volume.html", content=lambda: _overview(request, volume)),
            "timeline": timeline_tab(request, lambda: [pk]), "cost": cost_tab(request, volume)}
    return show(request, Sheet(row=volume, list_page="volumes:list", lead="storage/_volume_lead.html", tabs=tabs,
                               live=f"volume:{pk} instance", in_flight=Volume.TONES[volume.state] == "busy",
                               context={"volume": volume, "alert": "storage/_lost.html", "is_lost": lost_files.is_lost(volume)},
                               actions=[edit_action(request, volume, "volume.update", "volumes:edit")]))


def _overview(request: HttpRequest, volume: Volume) -> dict[str, Any]:
    """With the instance that it is a disk of, as far as the reader may see it."""
    attachment = getattr(volume, "attachment", None)
    rows = Instance.objects.visible_to(request.user).defer(*HEAVY)
    return {"attachment": attachment, "owner": rows.filter(pk=attachment.domain).first() if attachment else None}
