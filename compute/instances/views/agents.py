"""The guest agent on pages: what a guest tells of itself, and resetting a password in it."""
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import passwords
from compute.instances.forms.agents import ResetPasswordForm
from compute.instances.guests import Guest
from compute.instances.models import ON_SCREEN, Instance
from compute.instances.views.sheets import Action, may_not
from compute.network.views.asking import sent, show_form
from tenants.access import fetch
from tenants.pages import page


def shown(request: HttpRequest, instance: Instance) -> dict[str, Any]:
    """For the instance's page."""
    why_not = may_not(request, passwords.PERMISSION, instance) or passwords.why_not(instance)
    reset = Action(label=_("Reset password"), symbol="key", url=reverse("instances:reset-password", args=[instance.pk]),
                   is_link=True, why_not=why_not)
    return {"guest": Guest.of(instance), "guest_runs": instance.state in ON_SCREEN, "guest_actions": [reset]}


@page(passwords.PERMISSION, methods=("GET", "POST"))
def reset_password(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Asks of whom. No redirect: the password is on this answer only."""
    rows = Instance.objects.select_related("project__organization")
    instance, form = fetch(request.user, rows, passwords.PERMISSION, pk=pk), ResetPasswordForm(sent(request))
    back = reverse("instances:detail", args=[instance.pk])
    title = _("Reset a password in “%(name)s”") % {"name": instance.name}
    if request.method == "POST" and form.carried_out(
            lambda: passwords.reset(instance, actor=request.user, **form.cleaned_data)):
        answer = render(request, "instances/password.html", {
            "title": title, "back": back, "crumbs": [(instance.name, back)],
            "whose": form.cleaned_data["user"], "password": form.cleaned_data["password"]})
        answer["Cache-Control"] = "no-store"
        return answer
    return show_form(request, form, title=title, action=_("Reset password"), crumbs=[(instance.name, back)], back=back, lead=_(
        "The guest agent sets it at once, while the instance runs. The portal keeps only its hash, and only until it is set."))
