"""Floating IPs with the instances that they point to: list, allocate, associate, disassociate, release."""
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import addresses
from compute.instances.forms import AssociateForm
from compute.network import operations, queries
from compute.network.addressing import open_pool
from compute.network.forms import FloatingIpForm
from compute.network.models import FloatingIp
from compute.network.views.asking import ask, nowhere, place, sent, show_form
from portal.kernel.pages import acted, fragment
from tenants.access import fetch
from tenants.pages import page
from tenants.scope import current_project, narrow

ROWS_A_PAGE = 50
LIST = "floating_ips:list"


def _rows(request: HttpRequest) -> QuerySet[FloatingIp]:
    return FloatingIp.objects.visible_to(request.user).select_related(
        "project__organization", "region", "pool", "allocation", "port__subnet__vpc")


@page("floatingip.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first; `?state=`, `?name=` (of its name or address), `?page=`."""
    state, name = request.GET.get("state", ""), request.GET.get("name", "").replace("\0", "").strip()
    rows = narrow(request, _rows(request))
    if state in FloatingIp.State.values:
        rows = rows.filter(state=state)
    if name:
        rows = rows.filter(name__icontains=name[:100]) | rows.filter(allocation__address__startswith=name[:15])
    found = Paginator(rows.order_by("-created_at", "-pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    guests = addresses.guests(request.user, [row.port for row in found if row.port])
    prices = queries.AddressPrices.now({row.pool for row in found})
    shown = [(row, guests.get(row.port.domain) if row.port else None, prices.of(row)) for row in found]
    return fragment(request, "network/floating_ips.html", "network/_floating_ips.html", page=found, state=state, name=name,
                    rows=shown, project=current_project(request), is_filtered=bool(state or name),
                    states=[choice for choice in FloatingIp.State.choices if choice[0] != "released"],
                    in_flight=any(FloatingIp.TONES[row.state] == "busy" for row in found))


@page("floatingip.manage", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """A public address of the project's own."""
    project = place(request, "floatingip.manage")
    if project is None:
        return nowhere(request, _("Allocate floating IP"))
    form = FloatingIpForm(sent(request), user=request.user, project=project)
    if request.method == "POST" and form.carried_out(
            lambda: operations.allocate_floating_ip(actor=request.user, **form.cleaned_data)):
        return acted(request, _("%(address)s is yours.") % {"address": form.made.allocation.address}, reverse(LIST))
    region = form.initial["region"]
    pool = open_pool(region) if region else None
    return show_form(request, form, title=_("Allocate floating IP"), action=_("Allocate"), back=reverse(LIST),
                     crumbs=[(_("Floating IPs"), reverse(LIST))], pool=pool, prices=_prices(pool),
                     quota=queries.limited(project, region, {"floating_ips": 1}) if region else [])


def _prices(pool) -> list[tuple[str, object]]:
    """What it costs a month, used and unused."""
    if pool is None:
        return []
    prices = queries.AddressPrices.now([pool])
    found = [(_("while it is associated"), prices.attached(pool)), (_("while it is idle"), prices.idle(pool))]
    return [(label, money) for label, money in found if money is not None]


@page("floatingip.associate", methods=("GET", "POST"))
def associate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Point it at an instance's port that has none yet."""
    floating = fetch(request.user, _rows(request), "floatingip.associate", pk=pk)
    form = AssociateForm(sent(request), user=request.user, floating=floating)
    if request.method == "POST" and form.carried_out(
            lambda: operations.associate(floating, form.cleaned_data["port"], actor=request.user)):
        return acted(request, _("%(address)s is being associated.") % {"address": floating.address}, reverse(LIST))
    return show_form(request, form, title=_("Associate %(address)s") % {"address": floating.address}, action=_("Associate"),
                     crumbs=[(_("Floating IPs"), reverse(LIST))], back=reverse(LIST),
                     lead=_("From outside the port is reached by it, and seen as it."))


@page("floatingip.associate", methods=("POST",))
def disassociate(request: HttpRequest, pk: UUID) -> HttpResponse:
    floating = fetch(request.user, _rows(request), "floatingip.associate", pk=pk)
    question = ask(request, title=_("Disassociate %(address)s?") % {"address": floating.address}, yes=_("Disassociate"),
                   text=_("Connections through it end. The address stays yours and is billed as idle."), back=reverse(LIST))
    if question:
        return question
    operations.disassociate(floating, actor=request.user)
    return acted(request, _("%(address)s is being disassociated.") % {"address": floating.address}, reverse(LIST))


@page("floatingip.manage", methods=("POST",))
def release(request: HttpRequest, pk: UUID) -> HttpResponse:
    floating = fetch(request.user, _rows(request), "floatingip.manage", pk=pk)
    address = floating.address
    question = ask(request, title=_("Release %(address)s?") % {"address": address}, yes=_("Release"), back=reverse(LIST),
                   text=_("The address goes back to the pool; you may not get it again. Billing stops at once."))
    if question:
        return question
    operations.release(floating, actor=request.user)
    return acted(request, _("%(address)s was released.") % {"address": address}, reverse(LIST))
