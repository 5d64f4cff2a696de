"""Pages that join networks and instances: a VPC with what is in it, and what is done to an instance's ports."""
from uuid import UUID

from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import addresses
from compute.instances.forms import PortAddressForm
from compute.network import operations, queries
from compute.network.forms import PortGroupsForm
from compute.network.models import Port, Vpc
from compute.network.views.asking import sent, show_form
from portal.kernel.models import Operation
from portal.kernel.pages import acted, fragment
from tenants.access import fetch, require
from tenants.pages import page

ROWS_A_PAGE = 50


@page("vpc.view")
def vpc(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A VPC: its drawing, subnets and ports; `?page=` of the ports."""
    found = fetch(request.user, queries.vpcs(request.user), "vpc.view", pk=pk)
    [row] = queries.vpc_rows([found])
    may = request.user.grants.may
    return fragment(request, "network/vpc.html", "network/_vpc.html", vpc=found, row=row, **_inside(request, found),
                    may_manage=may("vpc.manage", found.project_id),
                    may_associate=may("floatingip.associate", found.project_id))


def _inside(request: HttpRequest, vpc: Vpc) -> dict[str, object]:
    rows = queries.ports(Port.objects.live().filter(subnet__vpc=vpc)).order_by("subnet__cidr", "ip")
    shown = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    subnets, drawn = queries.subnet_rows(vpc), queries.ports_to_draw(vpc)
    guests = addresses.guests(request.user, [*shown, *drawn])
    return {"page": shown, "ports": [queries.PortRow.of(port, guests) for port in shown], "subnets": subnets,
            "drawings": queries.drawings(vpc, subnets, drawn, guests)}


def _port(request: HttpRequest, permission: str, pk: UUID) -> Port:
    return fetch(request.user, addresses.with_owners(Port.objects.select_related("project", "region")), permission, pk=pk)


def _home(request: HttpRequest, port: Port) -> tuple[str, str]:
    """Name and address of where the port is looked at: its instance's page, or its VPC's."""
    guest = addresses.guests(request.user, [port]).get(port.domain)
    if guest is not None:
        return guest.name, f"{guest.url}?tab=network"
    return port.subnet.vpc.name, reverse("vpcs:detail", args=[port.subnet.vpc_id])


@page("vpc.manage", methods=("GET", "POST"))
def port_groups(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The security groups of a port."""
    port = _port(request, "vpc.manage", pk)
    home = _home(request, port)
    form = PortGroupsForm(sent(request), user=request.user, place=port, initial={"security_groups": port.groups.all()})
    if request.method == "POST" and form.carried_out(
            lambda: operations.set_groups(port, form.cleaned_data["security_groups"], actor=request.user)):
        return acted(request, _("The security groups were changed; it works within 2 seconds."), home[1])
    return show_form(request, form, title=_("Security groups of %(ip)s") % {"ip": port.ip}, action=_("Save"),
                     crumbs=[home], back=home[1])


@page("floatingip.associate", methods=("GET", "POST"))
def port_address(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A floating IP for a port: one that is idle, or a new one."""
    port = _port(request, "floatingip.associate", pk)
    home = _home(request, port)
    form = PortAddressForm(sent(request), user=request.user, port=port)
    if request.method == "POST" and form.carried_out(lambda: _point(request, port, form)):
        return acted(request, _("The floating IP is being associated."), home[1])
    return show_form(request, form, title=_("Floating IP for %(ip)s") % {"ip": port.ip}, action=_("Associate"),
                     crumbs=[home], back=home[1], lead=_("From outside the port is reached by it, and seen as it."))


@transaction.atomic
def _point(request: HttpRequest, port: Port, form: PortAddressForm) -> Operation:
    floating = form.cleaned_data["floating_ip"]
    if floating is None:
        require(request.user, "floatingip.manage", port)
        floating = operations.allocate_floating_ip(port.project, port.region, pool=port.subnet.vpc.pool, actor=request.user)
    return operations.associate(floating, port, actor=request.user)
