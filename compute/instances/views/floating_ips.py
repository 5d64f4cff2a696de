"""Floating IPs with the instances that they point to: list, one, allocate, associate, disassociate, release."""
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.periods import Month
from billing.templatetags.money import money
from compute.instances import addresses
from compute.instances.forms import AssociateForm
from compute.instances.lists.floating_ips import FloatingIpList
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
from compute.network import operations, queries, traffic
from compute.network.addressing import open_pool
from compute.network.forms import FloatingIpForm
from compute.network.models import AddressPool, FloatingIp
from compute.network.topology import Guest
from compute.network.views.asking import ask, nowhere, place, sent, show_form
from portal.kernel.pages import acted
from portal.kernel.states import database_now
from tenants.access import fetch
from tenants.pages import page

LIST = "floating_ips:list"
DISASSOCIATING = gettext_lazy("Connections through it end. The address stays yours and is billed as idle.")


def _rows(request: HttpRequest) -> QuerySet[FloatingIp]:
    return FloatingIp.objects.visible_to(request.user).select_related(
        "project__organization", "region", "pool", "allocation", "port__subnet__vpc")


@page("floatingip.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first."""
    return FloatingIpList(request).answer()


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
                     pool=pool, prices=_prices(pool),
                     quota=queries.limited(project, region, {"floating_ips": 1}) if region else [])


def _prices(pool) -> list[tuple[str, object]]:
    """What it costs a month, used and unused."""
    if pool is None:
        return []
    return _told(queries.AddressPrices.now([pool]), pool)


def _told(prices: queries.AddressPrices, pool: AddressPool) -> list[tuple[str, object]]:
    found = [(_("while it is associated"), prices.attached(pool)), (_("while it is idle"), prices.idle(pool))]
    return [(label, money) for label, money in found if money is not None]


@page("floatingip.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`?tab=` overview, timeline or cost."""
    floating = fetch(request.user, _rows(request).select_related(*UNDER_WAY), "floatingip.view", pk=pk)
    prices, port = queries.AddressPrices.now([floating.pool]), floating.port
    guest = addresses.guests(request.user, [port]).get(port.domain) if port else None
    tabs = {"overview": Tab(label=_("Overview"), part="network/_floating_ip.html",
                            content=lambda: _overview(request, floating, prices, guest)),
            "timeline": timeline_tab(request, lambda: [pk]), "cost": cost_tab(request, floating)}
    return show(request, Sheet(
        row=floating, list_page=LIST, lead="network/_floating_ip_lead.html", tabs=tabs,
        actions=_actions(request, floating, guest),
        live=f"floating_ip:{pk} port instance", in_flight=FloatingIp.TONES[floating.state] == "busy",
        context={"floating": floating}))


def _overview(request: HttpRequest, floating: FloatingIp, prices: queries.AddressPrices,
              guest: Guest | None) -> dict[str, object]:
    days = traffic.by_day(floating, Month.of(database_now()))
    return {"guest": guest, "prices": _told(prices, floating.pool), "sent": sum(size for _day, size in days),
            "danger": _danger(request, floating, prices)}


def _actions(request: HttpRequest, floating: FloatingIp, guest: Guest | None) -> list[Action]:
    kept, state = guest.kept if guest else "", floating.state
    refused = may_not(request, "floatingip.associate", floating)
    edit = edit_action(request, floating, "floatingip.manage", "floating_ips:edit")
    if state in (FloatingIp.State.ATTACHED, FloatingIp.State.DISASSOCIATING):
        return [Action(label=_("Disassociate"), symbol="unlink", url=reverse("floating_ips:disassociate", args=[floating.pk]),
                       why_not=refused or kept or _not_while(floating, FloatingIp.State.ATTACHED), text=DISASSOCIATING,
                       question=_("Disassociate %(address)s?") % {"address": floating.address}), edit]
    return [Action(label=_("Associate"), symbol="link", url=reverse("floating_ips:associate", args=[floating.pk]), is_link=True,
                   why_not=refused or _not_while(floating, FloatingIp.State.IDLE)), edit]


def _not_while(floating: FloatingIp, wanted: str) -> str:
    return "" if floating.state == wanted else _("Not possible while it is “%(state)s”.") % {
        "state": floating.get_state_display()}


def _danger(request: HttpRequest, floating: FloatingIp, prices: queries.AddressPrices) -> Danger:
    price = prices.idle(floating.pool)
    effects = [_("The address goes back to the pool; you may not get it again.")]
    effects.append(_("Its price of %(price)s a month ends at once.") % {"price": money(price)} if price else _(
        "Billing stops at once."))
    why_not = may_not(request, "floatingip.manage", floating) or (
        _("An instance is reached by it: disassociate it first.") if floating.port_id else
        _not_while(floating, FloatingIp.State.IDLE))
    return Danger(effects=effects, action=Action(
        label=_("Release"), symbol="trash", url=reverse("floating_ips:release", args=[floating.pk]), is_bad=True,
        question=_("Release %(address)s?") % {"address": floating.address}, text="\n".join(effects), why_not=why_not))


@page("floatingip.associate", methods=("GET", "POST"))
def associate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Point it at an instance's port that has none yet."""
    floating = fetch(request.user, _rows(request), "floatingip.associate", pk=pk)
    form = AssociateForm(sent(request), user=request.user, floating=floating)
    if request.method == "POST" and form.carried_out(
            lambda: operations.associate(floating, form.cleaned_data["port"], actor=request.user)):
        return acted(request, _("%(address)s is being associated.") % {"address": floating.address}, reverse(LIST))
    return show_form(request, form, title=_("Associate %(address)s") % {"address": floating.address}, action=_("Associate"),
                     back=reverse(LIST),
                     lead=_("From outside the port is reached by it, and seen as it."))


@page("floatingip.associate", methods=("POST",))
def disassociate(request: HttpRequest, pk: UUID) -> HttpResponse:
    floating = fetch(request.user, _rows(request), "floatingip.associate", pk=pk)
    question = ask(request, title=_("Disassociate %(address)s?") % {"address": floating.address}, yes=_("Disassociate"),
                   text=DISASSOCIATING, back=reverse(LIST))
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
    return acted(request, _("%(address)s was released.") % {"address": address}, reverse(LIST), leave=True)
