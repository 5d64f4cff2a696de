"""What is done to an instance whose guest hangs: at once, without an operation, for its next start."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import watchdogs
from compute.instances.forms.watchdog import WatchdogForm
from compute.instances.models import Instance
from compute.network.views.asking import sent
from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page


@page(watchdogs.PERMISSION, methods=("GET", "POST"))
def watchdog(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = fetch(request.user, Instance.objects.select_related("project__organization"), watchdogs.PERMISSION, pk=pk)
    form, home = WatchdogForm(sent(request), initial={"action": found.watchdog}), reverse("instances:detail", args=[pk])
    if request.method == "POST" and form.carried_out(
            lambda: watchdogs.set_watchdog(found, form.cleaned_data["action"], actor=request.user)):
        return acted(request, _("Saved; it holds from the next start of “%(name)s”.") % {"name": found.name}, home, leave=True)
    return render(request, "network/form.html", {
        "form": form, "title": _("Watchdog of “%(name)s”") % {"name": found.name}, "action": _("Save"), "back": home,
        "crumbs": "instances:list", "lead": _(
            "A device that the guest feeds while it is well. When the guest has begun to, and stops for half a minute or what it "
            "has asked for, it hangs: then this is done. A guest without a driver for it (i6300esb) is left alone.")},
        status=form.status)
