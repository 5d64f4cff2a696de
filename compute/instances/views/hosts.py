"""The operators' pages of hosts: joins hosts with their pools and the instances on them, so it lives on the right-hand side."""
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from compute.hosts import operations
from compute.hosts.models import CLAIMED, Host
from compute.hosts.steps import PROGRAMS
from compute.instances.models import Instance
from portal.kernel.pages import acted, fragment
from tenants.access import fetch
from tenants.pages import STAFF, page

ROWS_A_PAGE = 50
SHOWN_INSTANCES, SHOWN_STRANGERS, SHOWN_OPERATIONS = 200, 100, 5
LABELS: dict[str, Any] = {"vcpu": gettext_lazy("vCPU"), "memory_mib": gettext_lazy("Memory")}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What is claimed of one class."""

    name: str
    label: str
    used: int
    total: int

    @property
    def is_over(self) -> bool:
        return self.used > self.total


def bars(host: Host) -> list[Bar]:
    capacity = host.capacity
    return [Bar(name=name, label=str(LABELS[name]), used=getattr(host, f"claimed_{name}"), total=capacity[name])
            for name in CLAIMED]


def _rows(request: HttpRequest) -> QuerySet[Host]:
    return Host.objects.visible_to(request.user).with_claims().select_related("zone", "region", "endpoint")


@page(STAFF)
def listing(request: HttpRequest) -> HttpResponse:
    """All hosts by name; `?state=`, `?name=`, `?page=`."""
    state, name = request.GET.get("state", ""), request.GET.get("name", "").replace("\0", "").strip()
    rows = _rows(request).annotate(instance_count=Count("instances", filter=~Q(instances__state="deleted")))
    if state in Host.State.values:
        rows = rows.filter(state=state)
    if name:
        rows = rows.filter(name__icontains=name[:100])
    found = Paginator(rows.order_by("name", "pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    return fragment(request, "hosts/list.html", "hosts/_table.html", page=found, state=state, name=name,
                    rows=[(host, bars(host)) for host in found], states=Host.State.choices,
                    is_filtered=bool(state or name), in_flight=any(host.state == Host.State.PREPARING for host in found))


@page(STAFF)
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One host: what it is, what is claimed and runs there, and what was done to it."""
    host = fetch(request.user, _rows(request), STAFF, pk=pk)
    instances = Instance.objects.visible_to(request.user).filter(host=host).exclude(state="deleted")
    shown = instances.defer("user_data", "vnc_password", "public_keys").select_related("type", "project__organization")
    return fragment(
        request, "hosts/detail.html", "hosts/_detail.html", host=host, bars=bars(host), instance_count=instances.count(),
        instances=shown.order_by("name", "pk")[:SHOWN_INSTANCES], pools=host.pools.order_by("name"),
        strangers=host.discovered.order_by("kind", "name")[:SHOWN_STRANGERS], versions=_versions(host),
        operations=operations.preparations(host)[:SHOWN_OPERATIONS], in_flight=host.state == Host.State.PREPARING)


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
