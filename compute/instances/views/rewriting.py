"""Pages of the verbs that ask for an image: rescue and rebuild."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import guarding, operations
from compute.instances.forms.rewriting import RebuildForm, RescueForm
from compute.instances.lists.instances import rows_of
from compute.instances.models import Instance
from compute.instances.verbs import VERBS, Verb
from compute.network.views.asking import sent, show_form
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page

RESCUE, REBUILD = VERBS["rescue"], VERBS["rebuild"]


@page(RESCUE.permission, methods=("GET", "POST"))
def rescue(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Which image it boots from meanwhile."""
    instance = _possible(request, RESCUE, pk)
    return _carry_out(request, RESCUE, instance, RescueForm(sent(request), instance=instance, user=request.user))


@page(REBUILD.permission, methods=("GET", "POST"))
def rebuild(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Which image its root volume is written from, and what the new guest is told; the name is typed."""
    instance = _possible(request, REBUILD, pk)
    return _carry_out(request, REBUILD, instance, RebuildForm(sent(request), instance=instance, user=request.user))


def _possible(request: HttpRequest, verb: Verb, pk: UUID) -> Instance:
    instance = fetch(request.user, rows_of(request).select_related("region", "host__endpoint"), verb.permission, pk=pk)
    verb.require(instance)
    guarding.require(instance, verb.name)
    return instance


def _carry_out(request: HttpRequest, verb: Verb, instance: Instance, form: Any) -> HttpResponse:
    back = reverse("instances:detail", args=[instance.pk])
    if request.method == "POST" and form.carried_out(
            lambda: operations.act(instance, verb.name, actor=request.user, **form.wishes())):
        return acted(request, _("%(verb)s: %(name)s – accepted.") % {"verb": verb.label, "name": instance.name}, back)
    return show_form(request, form, title=_("%(verb)s “%(name)s”") % {"verb": verb.label, "name": instance.name},
                     action=verb.label, lead=verb.confirm, crumbs=[(instance.name, back)], back=back)
