"""Pages of the verbs that copy an instance's disk: into an image, and for another instance like it."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.prices import NoPrice, price_of
from compute.instances import guarding, operations
from compute.instances.copying import Capture, Clone
from compute.instances.forms.copying import CaptureForm, CloneForm
from compute.instances.lists.instances import rows_of
from compute.instances.models import Instance, Snapshot
from compute.instances.snapshots.verbs import VIEW as VIEW_SNAPSHOTS
from compute.instances.verbs import VERBS, Verb
from compute.network import queries
from compute.network.models import Port
from compute.network.views.asking import sent, show_form
from portal.kernel.models import Operation
from portal.kernel.pages import acted
from storage.models import Volume
from tenants.access import fetch
from tenants.pages import page

CAPTURE, CLONE = VERBS["capture"], VERBS["clone"]


@page(CAPTURE.permission, methods=("GET", "POST"))
def capture(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How the image is called; what it takes of quota and what it would cost at most are shown beside. `?snapshot=`: of what was
    on the volume then."""
    instance = _possible(request, CAPTURE, pk)
    asked = request.GET.get("snapshot")
    snapshot = fetch(request.user, Snapshot.objects.filter(of_instance=instance), VIEW_SNAPSHOTS, pk=asked) if asked else None
    return _carry_out(request, CAPTURE, instance, CaptureForm(sent(request), instance=instance, snapshot=snapshot),
                      lambda volume: Capture(instance=instance, volume=volume, name="", snapshot=snapshot),
                      _("It gets what was on the volume at the snapshot “%(name)s”.") % {"name": snapshot.name}
                      if snapshot else "")


@page(CLONE.permission, methods=("GET", "POST"))
def clone(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How the new instance is called; what it takes and costs is shown beside."""
    instance = _possible(request, CLONE, pk)
    return _carry_out(request, CLONE, instance, CloneForm(sent(request), instance=instance),
                      lambda volume: Clone(instance=instance, volume=volume, name="",
                                           ports=list(Port.objects.live().filter(domain=instance.pk))),
                      _("The new instance gets no public address."))


def _possible(request: HttpRequest, verb: Verb, pk: UUID) -> Instance:
    rows = rows_of(request).select_related("region", "host__endpoint", "project__organization", "type", "image")
    instance = fetch(request.user, rows, verb.permission, pk=pk)
    verb.require(instance)
    guarding.require(instance, verb.name)
    return instance


def _carry_out(request: HttpRequest, verb: Verb, instance: Instance, form: Any, wanted_of: Any,
               more: str = "") -> HttpResponse:
    back = reverse("instances:detail", args=[instance.pk])
    if request.method == "POST" and form.carried_out(
            lambda: operations.act(instance, verb.name, actor=request.user, **form.wishes())):
        return acted(request, _("%(verb)s: %(name)s – accepted.") % {"verb": verb.label, "name": instance.name},
                     _page_of_copy(form.made))
    wanted = wanted_of(Volume.objects.get(attachment__domain=instance.pk, attachment__is_boot=True))
    title = _("Create image of “%(name)s”") if verb is CAPTURE else _("Clone “%(name)s”")
    return show_form(request, form, title=title % {"name": instance.name},
                     action=verb.label, lead=f"{verb.confirm} {more}".strip(), crumbs=[(instance.name, back)], back=back,
                     quota=queries.limited(instance.project, instance.region, wanted.wanted), prices=_prices(instance, wanted))


def _page_of_copy(operation: Operation) -> str:
    """Of what is being made, as after a create."""
    made = operation.arguments
    return reverse("images:detail", args=[made["image"]]) if "image" in made else reverse(
        "instances:detail", args=made["instances"])


def _prices(instance: Instance, wanted: Capture | Clone) -> list[tuple[str, Any]]:
    """What it costs a month, an image at most; nothing where it has no price, which the verb then says."""
    try:
        price = price_of(instance.project.organization, instance.region, wanted.readings, None)
    except NoPrice:
        return []
    return [(_("At most") if isinstance(wanted, Capture) else _("Price while it runs"), price.monthly)]
