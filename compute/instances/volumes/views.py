"""Pages of the verbs on volumes; what is shown of one is in `compute.instances.views.volume`."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.money import Money
from billing.prices import NoPrice, price_of
from compute.instances.models import HEAVY, Instance
from compute.instances.volumes import verbs
from compute.instances.volumes.forms import FIRST_GIB, AttachForm, GrowForm, TakeForm, VolumeForm
from compute.instances.volumes.places import owner_of, require_open
from compute.instances.volumes.verbs import LARGEST_GIB, Growth, NewVolume
from compute.network import queries
from compute.network.views.asking import ask, sent, show_form
from portal.kernel.errors import StateConflict
from portal.kernel.pages import acted
from storage.models import Volume
from tenants.access import fetch
from tenants.models import Organization, Project
from tenants.pages import page
from tenants.scope import default_project

LIST = "volumes:list"
LIES = gettext_lazy("A volume lies on one host, and only instances of that host can have it.")
DETACHING = gettext_lazy(
    "The guest is asked to let go of it: unmount it there first. What is on it stays, and it costs as before.")
DELETING = gettext_lazy("Everything on it is lost at once. Its price ends.")


@page("volume.create", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """`?instance=`: for that one, and attached to it."""
    instance = _asked_for(request)
    project = instance.project if instance else _project(request)
    if project is None:
        return render(request, "network/nowhere.html", {"title": _("Create volume"), "has_region": True})
    form = VolumeForm(sent(request), user=request.user, project=project, instance=instance)
    if request.method == "POST" and form.carried_out(lambda: verbs.create_volume(
            NewVolume(**form.cleaned_data, instance=instance), actor=request.user)):
        return acted(request, _("The volume %(name)s is being made.") % {"name": form.cleaned_data["name"]},
                     reverse("volumes:detail", args=[form.made.target_id]))
    lead = LIES if instance is None else _("It is made on the host of %(name)s, and attached to it.") % {"name": instance.name}
    size = _size(request, FIRST_GIB)
    region = instance.region if instance else form.initial["region"]
    return show_form(
        request, form, title=_("Create volume"), action=_("Create"), lead=lead,
        crumbs=[(instance.name, reverse("instances:detail", args=[instance.pk]))] if instance else [],
        back=reverse("instances:detail", args=[instance.pk]) if instance else reverse(LIST),
        prices=_prices(project.organization, region, size, "local"),
        quota=queries.limited(project, region, {"volumes": 1, "volume_gib": size}) if region else [])


def _asked_for(request: HttpRequest) -> Instance | None:
    pk = request.POST.get("instance") or request.GET.get("instance")
    rows = Instance.objects.select_related("project__organization", "region", "host__endpoint").defer(*HEAVY)
    return fetch(request.user, rows, "volume.attach", pk=pk) if pk else None


def _project(request: HttpRequest) -> Project | None:
    if request.method == "POST":
        rows = Project.objects.select_related("organization")
        return fetch(request.user, rows, "volume.create", pk=request.POST.get("project"))
    return default_project(request, "volume.create")


@page("volume.create", methods=("GET", "POST"))
def grow(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How large, with what it costs then."""
    volume = _fetch(request, "volume.create", pk)
    form, back = GrowForm(sent(request), volume=volume), reverse("volumes:detail", args=[pk])
    if request.method == "POST" and form.carried_out(lambda: verbs.grow(volume, actor=request.user, **form.cleaned_data)):
        return acted(request, _("%(name)s is being grown.") % {"name": volume.name}, back)
    size = _size(request, form.initial["size_gib"])
    return show_form(
        request, form, title=_("Grow “%(name)s”") % {"name": volume.name}, action=_("Grow"), crumbs=[(volume.name, back)],
        back=back, lead=_("It has %(size)s GiB now.") % {"size": volume.size_gib},
        prices=_prices(volume.project.organization, volume.region, size, volume.pool_class),
        quota=queries.limited(volume.project, volume.region, {
            "volume_gib": max(0, Growth(volume=volume, size_gib=size).wanted["volume_gib"])}))


@page("volume.attach", methods=("GET", "POST"))
def attach(request: HttpRequest, pk: UUID) -> HttpResponse:
    """To an instance of its host."""
    volume, back = _fetch(request, "volume.attach", pk), reverse("volumes:detail", args=[pk])
    if request.method == "GET" and volume.state != Volume.State.AVAILABLE:  # what is sent is read first, and refused by the verb
        raise StateConflict(state=volume.get_state_display())
    form = AttachForm(sent(request), user=request.user, volume=volume)
    if request.method == "POST" and form.carried_out(
            lambda: verbs.attach(volume, form.cleaned_data["instance"], actor=request.user)):
        return acted(request, _("%(name)s is being attached.") % {"name": volume.name}, back)
    return show_form(request, form, title=_("Attach “%(name)s”") % {"name": volume.name}, action=_("Attach"), back=back,
                     crumbs=[(volume.name, back)], lead=LIES)


@page("volume.attach", methods=("GET", "POST"))
def take(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A volume for an instance."""
    rows = Instance.objects.select_related("project", "region", "host__endpoint").defer(*HEAVY)
    instance, back = fetch(request.user, rows, "volume.attach", pk=pk), reverse("instances:detail", args=[pk])
    require_open(instance)
    form = TakeForm(sent(request), user=request.user, instance=instance)
    if request.method == "POST" and form.carried_out(
            lambda: verbs.attach(form.cleaned_data["volume"], instance, actor=request.user)):
        return acted(request, _("%(name)s is being attached.") % {"name": form.cleaned_data["volume"].name}, back)
    return show_form(request, form, title=_("Attach a volume to “%(name)s”") % {"name": instance.name}, action=_("Attach"),
                     back=back, crumbs=[(instance.name, back)], lead=LIES)


@page("volume.attach", methods=("POST",))
def detach(request: HttpRequest, pk: UUID) -> HttpResponse:
    volume, back = _fetch(request, "volume.attach", pk), reverse("volumes:detail", args=[pk])
    owner = owner_of(volume)
    if owner is not None:
        require_open(owner)
    question = ask(request, title=_("Detach “%(name)s”?") % {"name": volume.name}, yes=_("Detach"), text=DETACHING, back=back)
    if question:
        return question
    verbs.detach(volume, actor=request.user)
    return acted(request, _("%(name)s is being detached.") % {"name": volume.name}, back)


@page("volume.delete", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    volume = _fetch(request, "volume.delete", pk)
    question = ask(request, title=_("Delete the volume “%(name)s”?") % {"name": volume.name}, yes=_("Delete"), text=DELETING,
                   back=reverse("volumes:detail", args=[pk]), name=volume.name)
    if question:
        return question
    verbs.delete_volume(volume, actor=request.user)
    return acted(request, _("%(name)s is being deleted.") % {"name": volume.name}, reverse(LIST), leave=True)


def _fetch(request: HttpRequest, permission: str, pk: UUID) -> Volume:
    rows = Volume.objects.live().select_related("project__organization", "region", "pool__host")
    return fetch(request.user, rows, permission, pk=pk)


def _size(request: HttpRequest, first: int) -> int:
    """What the form has, or had when its size was changed; nonsense is the first."""
    text = (request.POST if request.method == "POST" else request.GET).get("size_gib", "")
    return min(int(text), LARGEST_GIB) if text.isascii() and text.isdecimal() and len(text) < 9 and int(text) > 0 else first


def _prices(organization: Organization, region: Any, size: int, pool_class: str) -> list[tuple[Any, Money]]:
    """What it costs a month; nothing where it has no price, which the verb then says."""
    try:
        price = price_of(organization, region, verbs.readings(size, pool_class), None) if region else None
    except NoPrice:
        return []
    return [(_("%(size)s GiB") % {"size": size}, price.monthly)] if price else []
