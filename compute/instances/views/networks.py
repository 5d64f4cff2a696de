"""Pages that join networks and instances: a VPC with what is in it, and what is done to an instance's ports."""
from uuid import UUID

from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from compute.instances import addresses, related
from compute.instances.forms import PortAddressForm
from compute.instances.views.sheets import UNDER_WAY, Action, Danger, Sheet, Tab, edit_action, may_not, show, timeline_tab
from compute.network import operations, queries
from compute.network.forms import PortGroupsForm
from compute.network.models import Port, Vpc
from compute.network.views.asking import sent, show_form
from portal.kernel.models import Operation
from portal.kernel.pages import acted
from tenants.access import fetch, require
from tenants.pages import page

ROWS_A_PAGE = 20


@page("vpc.view")
def vpc(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A VPC: its drawing with subnets and ports (`?page=`), the instances in it, what was done to it."""
    found = fetch(request.user, queries.vpcs(request.user).select_related(*UNDER_WAY), "vpc.view", pk=pk)
    subnets = queries.subnet_rows(found)
    row = queries.vpc_row(found, len(subnets), sum(one.used for one in subnets))
    no_subnet = "" if row.subnets else _("It has no subnet yet.")
    actions = [_add(request, found, "vpcs:add-subnet", _("Add subnet"), "plus"),
               _add(request, found, "vpcs:add-port", _("Add port"), "plug", no_subnet),
               edit_action(request, found, "vpc.manage", "vpcs:edit")]
    return show(request, Sheet(
        row=found, list_page="vpcs:list", lead="network/_vpc_lead.html", tabs=_tabs(request, found, row, subnets),
        actions=actions,
        live=f"vpc:{found.pk} subnet port floating_ip instance security_group", in_flight=row.is_changing,
        context={"vpc": found, "line": row, "alert": "network/_vpc_alert.html"}))


def _tabs(request: HttpRequest, vpc: Vpc, row: queries.VpcRow, subnets: list[queries.SubnetRow]) -> dict[str, Tab]:
    return {"overview": Tab(label=_("Overview"), part="network/_vpc.html",
                            content=lambda: _inside(request, vpc, row, subnets)),
            "instances": Tab(label=_("Instances"), part="resources/_instances.html", content=lambda: {
                **related.shown(request, related.in_vpc(vpc)), "no_instances": _("No instance is in this VPC.")}),
            "timeline": timeline_tab(request, lambda: [vpc.pk, *(one.subnet.pk for one in subnets)])}


def _add(request: HttpRequest, vpc: Vpc, name: str, label: str, symbol: str, why_not: str = "") -> Action:
    return Action(label=label, symbol=symbol, url=reverse(name, args=[vpc.pk]), is_link=True,
                  why_not=may_not(request, "vpc.manage", vpc) or why_not)


def _inside(request: HttpRequest, vpc: Vpc, row: queries.VpcRow, subnets: list[queries.SubnetRow]) -> dict[str, object]:
    shown = Paginator(range(row.ports), ROWS_A_PAGE).get_page(request.GET.get("page"))
    listed = queries.port_ids(subnets, shown.object_list)
    drawn = [pk for one in subnets for pk in queries.drawn(one, subnets)]
    known = queries.ports(Port.objects.live()).select_related(None).in_bulk({*listed, *drawn})
    here = {one.subnet.pk: one.subnet for one in subnets}
    for port in known.values():
        port.subnet = here[port.subnet_id]
    guests = addresses.guests(request.user, known.values())
    may = request.user.grants.may
    return {"page": shown, "ports": [queries.PortRow.of(known[pk], guests) for pk in listed if pk in known],
            "subnets": subnets, "drawings": queries.drawings(vpc, subnets, known, guests), "danger": _danger(request, vpc, row),
            "may_manage": may("vpc.manage", vpc.project_id), "may_associate": may("floatingip.associate", vpc.project_id)}


def _danger(request: HttpRequest, vpc: Vpc, row: queries.VpcRow) -> Danger:
    effects = [ngettext("Its router and its %(count)s subnet are deleted; there is no way back.",
                        "Its router and its %(count)s subnets are deleted; there is no way back.", row.subnets) % {
        "count": row.subnets}]
    if vpc.router_address:
        effects.append(_("Its public address %(address)s goes back to the pool; you may not get it again.") % {
            "address": vpc.router_address})
    if vpc.is_default:
        effects.append(_("The next instance that names no network makes a new default VPC."))
    in_use = ngettext("%(count)s port is in it.", "%(count)s ports are in it.", row.ports) % {
        "count": row.ports} if row.ports else ""
    return Danger(effects=effects, action=Action(
        label=_("Delete VPC"), symbol="trash", url=reverse("vpcs:delete", args=[vpc.pk]), typed=vpc.name, is_bad=True,
        question=_("Delete the VPC “%(name)s”?") % {"name": vpc.name}, text="\n".join(effects),
        why_not=may_not(request, "vpc.manage", vpc) or in_use))


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
