"""The operators' pages of hosts: joins hosts with their pools and the instances on them, so it lives on the right-hand side."""
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.hosts import operations
from compute.hosts.models import Host
from compute.hosts.steps import PROGRAMS
from compute.instances import lost_files
from compute.instances.lists.hosts import HostList, bars
from compute.instances.models import HEAVY, Instance
from portal.kernel.pages import acted, fragment
from tenants.access import fetch
from tenants.pages import STAFF, page

SHOWN_INSTANCES, SHOWN_STRANGERS, SHOWN_OPERATIONS = 200, 100, 5


def _rows(request: HttpRequest) -> QuerySet[Host]:
    return Host.objects.visible_to(request.user).with_claims().select_related("zone", "region", "endpoint")


@page(STAFF)
def listing(request: HttpRequest) -> HttpResponse:
    """All hosts by name."""
    return HostList(request).answer()


@page(STAFF)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One host: what it is, what is claimed and runs there, and what was done to it."""
    host = fetch(request.user, _rows(request), STAFF, pk=pk)
    instances = Instance.objects.visible_to(request.user).filter(host=host).exclude(state="deleted")
    shown = instances.defer(*HEAVY).select_related("type", "project__organization")
    return fragment(
        request, "hosts/detail.html", "hosts/_detail.html", host=host, bars=bars(host), instance_count=instances.count(),
        instances=shown.order_by("name", "pk")[:SHOWN_INSTANCES], pools=host.pools.order_by("name"),
        **_found(host), versions=_versions(host),
        operations=operations.preparations(host)[:SHOWN_OPERATIONS], in_flight=host.state == Host.State.PREPARING)


def _found(host: Host) -> dict[str, Any]:
    """What is there and not ours, and what is ours and not there."""
    found = list(host.discovered.order_by("kind", "name")[:SHOWN_STRANGERS])
    return {"strangers": [one for one in found if one.kind != lost_files.KIND],
            "lost": [one for one in found if one.kind == lost_files.KIND]}


def _versions(host: Host) -> list[tuple[str, str]]:
    return [(label, host.versions[name]) for name, label in PROGRAMS.items() if host.versions.get(name)]


@page(STAFF, methods=("POST",))
def prepare(request: HttpRequest, pk: UUID) -> HttpResponse:
    host = fetch(request.user, _rows(request), STAFF, pk=pk)
    operations.prepare_host(host, actor=request.user)
    return acted(request, _("%(name)s is being prepared.") % {"name": host.name}, reverse("hosts:detail", args=[pk]))


@page(STAFF, methods=("POST",))
def maintenance(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`enabled=1` keeps new instances away, anything else lets them in."""
    host = fetch(request.user, _rows(request), STAFF, pk=pk)
    wanted = request.POST.get("enabled") == "1"
    operations.set_maintenance(host, wanted, actor=request.user)
    text = _("%(name)s takes no new instances.") if wanted else _("%(name)s takes new instances again.")
    return acted(request, text % {"name": host.name}, reverse("hosts:detail", args=[pk]))
