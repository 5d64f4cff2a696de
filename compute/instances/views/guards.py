"""Locking an instance, and protecting it against being deleted: at once, without an operation."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import guarding
from compute.instances.forms import LockForm
from compute.instances.models import Instance
from compute.network.views.asking import sent
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page


def _instance(request: HttpRequest, permission: str, pk: UUID) -> Instance:
    return fetch(request.user, Instance.objects.select_related("project__organization"), permission, pk=pk)


def _page_of(instance: Instance) -> str:
    return reverse("instances:detail", args=[instance.pk])


@page(guarding.LOCK, methods=("GET", "POST"))
def lock(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Asks why."""
    found, form = _instance(request, guarding.LOCK, pk), LockForm(sent(request))
    if request.method == "POST" and form.carried_out(lambda: guarding.lock(found, actor=request.user, **form.cleaned_data)):
        is_new = form.made.locked_at != found.locked_at
        text = _("“%(name)s” is locked.") if is_new else _("“%(name)s” was locked before: who did it and why stays as it was.")
        return acted(request, text % {"name": found.name}, _page_of(found), leave=True)
    return render(request, "network/form.html", {
        "form": form, "title": _("Lock “%(name)s”") % {"name": found.name}, "action": _("Lock"), "back": _page_of(found),
        "crumbs": "instances:list", "lead": _(
            "Every action on it is refused until somebody unlocks it: start, stop, resize, rebuild, delete and the others, from "
            "the list and by schedules too. Its floating IPs, security groups and volumes stay as they are; its name and tags "
            "can still be changed. Whoever may operate it may unlock it.")}, status=form.status)


@page(guarding.LOCK, methods=("POST",))
def unlock(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = guarding.unlock(_instance(request, guarding.LOCK, pk), actor=request.user)
    return acted(request, _("“%(name)s” is unlocked.") % {"name": found.name}, _page_of(found), leave=True)


@page(guarding.PROTECT, methods=("POST",))
def protect(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = guarding.protect(_instance(request, guarding.PROTECT, pk), actor=request.user)
    return acted(request, _("“%(name)s” cannot be deleted now.") % {"name": found.name}, _page_of(found), leave=True)


@page(guarding.PROTECT, methods=("POST",))
def unprotect(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = guarding.protect(_instance(request, guarding.PROTECT, pk), actor=request.user, is_protected=False)
    return acted(request, _("“%(name)s” can be deleted again.") % {"name": found.name}, _page_of(found), leave=True)
