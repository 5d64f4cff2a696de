"""Pages of network cards that come to an instance and go from it: the form for one more, and the question before one goes."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import cards
from compute.instances.forms.cards import CardForm
from compute.instances.lists.instances import rows_of
from compute.instances.models import Instance
from compute.instances.views.sheets import Action, may_not
from compute.network import queries
from compute.network.models import Port
from compute.network.views.asking import ask, sent, show_form
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page


def _instances(request: HttpRequest):
    return rows_of(request).select_related("region", "host__endpoint", "project__organization", "locked_by")


def _tab(instance: Instance) -> str:
    return f"{reverse('instances:detail', args=[instance.pk])}?tab=network"


@page(cards.PERMISSION, methods=("GET", "POST"))
def attach(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One more network card."""
    instance = fetch(request.user, _instances(request), cards.PERMISSION, pk=pk)
    if error := cards.refusal(instance):
        raise error
    form, back = CardForm(sent(request), user=request.user, instance=instance), _tab(instance)
    if request.method == "POST" and form.carried_out(lambda: cards.attach(instance, form.card(), actor=request.user)):
        return acted(request, _("The network card is being added."), back)
    lead = _("What runs gets it at once, and its system asks for the address by DHCP. The guest goes out by its first card, as "
             "before.") if instance.state == Instance.State.RUNNING else _("It is there at the next start.")
    return show_form(request, form, title=_("Add a network card to “%(name)s”") % {"name": instance.name},
                     action=_("Add network card"), lead=lead, crumbs=[(instance.name, back)], back=back,
                     quota=queries.limited(instance.project, instance.region, {"ports": 1}))


@page(cards.PERMISSION, methods=("POST",))
def detach(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The card of this port goes from its instance."""
    port = fetch(request.user, Port.objects.select_related("project", "region", "subnet"), cards.PERMISSION, pk=pk)
    instance = fetch(request.user, _instances(request), cards.PERMISSION, pk=port.domain)
    back = _tab(instance)
    question = ask(request, title=_("Remove the network card %(ip)s?") % {"ip": port.ip}, yes=_("Remove"), back=back,
                   text=losses(port))
    if question:
        return question
    cards.detach(instance, port, actor=request.user)
    return acted(request, _("The network card is being removed."), back)


def losses(port: Port) -> str:
    """What removing it does, in sentences."""
    what = _("Its address is free again.") if port.goes_with_instance else _("The port stays yours, with its address.")
    return f"{_('Connections through it end.')} {what}"


def add_action(request: HttpRequest, instance: Instance) -> Action:
    """The button above the cards."""
    return Action(label=_("Add network card"), symbol="plug", is_link=True,
                  url=reverse("instances:attach-port", args=[instance.pk]),
                  why_not=may_not(request, cards.PERMISSION, instance) or cards.why_not(instance))


def remove_action(request: HttpRequest, instance: Instance, port: Port, floating: str) -> Action:
    """The button at a card; `floating` is the address by which it is reached from outside."""
    has = _("It has the floating IP %(address)s: disassociate it first.") % {"address": floating} if floating else ""
    return Action(label=_("Remove"), symbol="unlink", url=reverse("ports:detach", args=[port.pk]), is_bad=True, text=losses(port),
                  question=_("Remove the network card %(ip)s?") % {"ip": port.ip},
                  why_not=may_not(request, cards.PERMISSION, instance) or has or cards.why_not(instance))
