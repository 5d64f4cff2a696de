"""List and verbs of instances. The page of one is in `instance`."""
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import addresses, details, guarding, operations, queries
from compute.instances.lists.instances import InstanceList, rows_of
from compute.instances.models import Instance
from compute.instances.verbs import VERBS, Verb
from compute.instances.views.sheets import may_not
from compute.instances.volumes import places
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import acted, is_fragment
from tenants.access import fetch
from tenants.pages import page


@page("instance.view")
def listing(request: HttpRequest) -> HttpResponse:
    """What there is, newest first."""
    return InstanceList(request).answer()


@page("instance.view")
def menu(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The verbs of one row, as it is when the menu is opened: drawn with every row they would cost more than the rest of it."""
    instance = fetch(request.user, rows_of(request), "instance.view", pk=pk)
    return render(request, "instances/_menu.html", {
        "instance": instance, "buttons": queries.buttons(instance, request.user)})


def act_on(verb: Verb) -> Callable[..., HttpResponse]:
    """The view of one verb: asks for confirmation where the table says so, then begins the operation."""

    @page(verb.permission, methods=("POST",))
    def act(request: HttpRequest, pk: UUID) -> HttpResponse:
        instance = fetch(request.user, rows_of(request), verb.permission, pk=pk)
        wanted = VERBS[verb.passes_to] if verb.passes_to and verb.passes_to in request.POST else verb.on(instance)
        wanted.require(instance)
        guarding.require(instance, wanted.name)
        if wanted.confirm and "confirmed" not in request.POST:
            return _ask(request, wanted, instance)
        if wanted.is_dangerous and request.POST.get("typed_name", "").strip() != instance.name.strip():
            # Whoever has just ticked the box was not asked for the name yet.
            error = _("This is not the name of the instance.") if wanted is verb or "typed_name" in request.POST else ""
            return _ask(request, wanted, instance, error=error)
        wishes = {"volumes": True} if wanted.name == "purge" and _takes_volumes(request) else {}
        if wishes:
            fetch(request.user, rows_of(request), places.DELETE, pk=pk)
        operations.act(instance, wanted.name, actor=request.user, force="force" in request.POST and wanted.takes_force, **wishes)
        to = reverse("instances:list") if wanted.is_bad else reverse("instances:detail", args=[pk])
        text = _("%(verb)s: %(name)s – accepted.") % {"verb": wanted.label, "name": instance.name}
        return acted(request, text, to, leave=wanted.is_bad)

    return act


def _takes_volumes(request: HttpRequest) -> bool:
    """Whether all of its volumes go with it."""
    return "true" in (request.POST.get("volumes"), request.GET.get("volumes"))


def _ask(request: HttpRequest, verb: Verb, instance: Instance, error: str = "") -> HttpResponse:
    """The confirmation as a page of its own; browsers with a script ask in a dialog before they send anything."""
    if is_fragment(request):
        raise InvalidInput.field("typed_name", error or _("Please confirm."))
    context: dict[str, Any] = {"verb": verb, "instance": instance, "error": error,
                               "action": reverse(f"instances:{verb.name}", args=[instance.pk]),
                               "effects": effects_of(verb, instance), "takes_volumes": _takes_volumes(request),
                               "has_volumes": (verb.name == "purge" and not may_not(request, places.DELETE, instance)
                               and len(details.volumes_of(instance)) > 1)}
    return render(request, "instances/confirm.html", context, status=400 if error else 200)


def effects_of(verb: Verb, instance: Instance) -> list[str]:
    """What the verb does, in sentences."""
    if not verb.is_bad:
        return [str(verb.confirm)]
    floating = details.floating_of(addresses.addresses(instance))
    return details.EFFECTS[verb.name](instance, details.volumes_of(instance), floating)
