"""Volumes with the instances that they belong to: joins storage and instances, so it lives on the right-hand side."""
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from compute.instances.models import Instance
from portal.kernel.pages import fragment
from storage.models import Volume
from tenants.pages import page
from tenants.scope import current_project, narrow

ROWS_A_PAGE = 50


@page("volume.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first; `?state=`, `?name=`, `?page=`."""
    state, name = request.GET.get("state", ""), request.GET.get("name", "").replace("\0", "").strip()
    rows = narrow(request, Volume.objects.visible_to(request.user)).select_related(
        "project__organization", "region", "image", "attachment")
    if state in Volume.State.values:
        rows = rows.filter(state=state)
    if name:
        rows = rows.filter(name__icontains=name[:100])
    found = Paginator(rows.order_by("-created_at", "-pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    domains = [volume.attachment.domain for volume in found if hasattr(volume, "attachment")]
    names = dict(Instance.objects.visible_to(request.user).filter(pk__in=domains).values_list("pk", "name"))
    return fragment(request, "storage/volumes.html", "storage/_volumes.html", page=found, state=state, name=name,
                    rows=[(volume, *_owner(volume, names)) for volume in found], project=current_project(request),
                    states=[choice for choice in Volume.State.choices if choice[0] != "deleted"],
                    is_filtered=bool(state or name), in_flight=any(Volume.TONES[row.state] == "busy" for row in found))


def _owner(volume: Volume, names: dict) -> tuple[object, str]:
    """(instance id, its name) or (None, "")."""
    domain = volume.attachment.domain if hasattr(volume, "attachment") else None
    return (domain, names[domain]) if domain in names else (None, "")
