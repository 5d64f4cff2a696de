"""Webhooks in the browser: list, create and rotate (the secret is on the answer only), the log, send again."""
import json
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal.kernel.pages import acted
from tenants.access import fetch
from tenants.pages import page
from tenants.scope import current_project
from tenants.webhooks import operations
from tenants.webhooks.events import endings
from tenants.webhooks.forms import ChangeForm, WebhookForm
from tenants.webhooks.lists import DeliveryList, WebhookList, where, words
from tenants.webhooks.models import Delivery, Webhook


def _webhook(request: HttpRequest, permission: str, pk: UUID) -> Webhook:
    return fetch(request.user, Webhook.objects.select_related("organization", "project", "maker"), permission, pk=pk)


def _page_of(webhook: Webhook) -> str:
    return reverse("webhooks:detail", args=[webhook.pk])


def _show(request: HttpRequest, webhook: Webhook, secret: str = "") -> HttpResponse:
    """The webhook with its log. A secret is on this answer only, which nobody keeps."""
    response = DeliveryList(request, webhook).answer(
        webhook=webhook, where=where(webhook), secret=secret, back=reverse("webhooks:list"),
        may_manage=request.user.grants.allows("webhook.manage", webhook))
    if secret:
        response["Cache-Control"] = "no-store"
    return response


@page("webhook.view")
def listing(request: HttpRequest) -> HttpResponse:
    return WebhookList(request).answer()


@page("webhook.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _show(request, _webhook(request, "webhook.view", pk))


@page("webhook.manage", methods=("GET", "POST"))
def create(request: HttpRequest) -> HttpResponse:
    """No redirect: the secret is on this answer only."""
    form = WebhookForm(request.POST or None, user=request.user, project=current_project(request))

    def make() -> tuple[Webhook, str]:
        (organization, project), chosen = form.place, form.cleaned_data
        return operations.create_webhook(
            organization, project=project, name=chosen["name"], url=chosen["url"], patterns=chosen["events"],
            description=chosen["description"], actor=request.user)

    if request.method == "POST" and form.carried_out(make):
        return _show(request, *form.made)
    return _form(request, form, title=_("Create webhook"), back=reverse("webhooks:list"))


@page("webhook.manage", methods=("GET", "POST"))
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    webhook = _webhook(request, "webhook.manage", pk)
    form = ChangeForm(request.POST or None, initial={"name": webhook.name, "url": webhook.url, "events": webhook.events,
                                                     "description": webhook.description})
    if request.method == "POST" and form.carried_out(
            lambda: operations.change_webhook(webhook, actor=request.user, **form.cleaned_data)):
        return acted(request, _("The webhook was changed."), _page_of(webhook), leave=True)
    return _form(request, form, title=_("Change webhook"), back=_page_of(webhook), action=_("Save"))


def _form(request: HttpRequest, form: ChangeForm, *, title: str, back: str, action: str = "") -> HttpResponse:
    return render(request, "webhooks/form.html", {"form": form, "title": title, "back": back, "action": action or title,
                                                  "known": endings()}, status=400 if form.errors else 200)


@page("webhook.manage", methods=("POST",))
def test(request: HttpRequest, pk: UUID) -> HttpResponse:
    webhook = _webhook(request, "webhook.manage", pk)
    operations.send_test(webhook, actor=request.user)
    return acted(request, _("A test is on its way. What becomes of it is in the log below."), _page_of(webhook), leave=True)


@page("webhook.manage", methods=("POST",))
def rotate(request: HttpRequest, pk: UUID) -> HttpResponse:
    webhook = _webhook(request, "webhook.manage", pk)
    if "confirmed" not in request.POST:
        title = _("Make a new secret for “%(name)s”?") % {"name": webhook.name}
        return _asked(request, webhook, title=title, yes=_("New secret"), text=_(
            "Give it to the receiver within 24 hours: until then the present one signs too."))
    return _show(request, *operations.rotate_secret(webhook, actor=request.user))


@page("webhook.manage", methods=("POST",))
def enable(request: HttpRequest, pk: UUID) -> HttpResponse:
    webhook = operations.change_webhook(_webhook(request, "webhook.manage", pk), actor=request.user, enabled=True)
    return acted(request, _("The webhook is enabled. What waited is sent now."), _page_of(webhook), leave=True)


@page("webhook.manage", methods=("POST",))
def disable(request: HttpRequest, pk: UUID) -> HttpResponse:
    webhook = operations.change_webhook(_webhook(request, "webhook.manage", pk), actor=request.user, enabled=False)
    text = _("The webhook is disabled. It is told of nothing that happens meanwhile.")
    return acted(request, text, _page_of(webhook), leave=True)


@page("webhook.manage", methods=("POST",))
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    webhook = _webhook(request, "webhook.manage", pk)
    if "confirmed" not in request.POST:
        return _asked(request, webhook, title=_("Delete the webhook “%(name)s”?") % {"name": webhook.name}, yes=_("Delete"),
                      text=_("Nothing is sent any more, and its log is gone."))
    operations.delete_webhook(webhook, actor=request.user)
    return acted(request, _("The webhook was deleted."), reverse("webhooks:list"), leave=True)


def _asked(request: HttpRequest, webhook: Webhook, **context: str) -> HttpResponse:
    return render(request, "ui/confirm.html", {"action": request.path, "back": _page_of(webhook), **context})


def _delivery(request: HttpRequest, permission: str, pk: UUID) -> Delivery:
    related = Delivery.objects.select_related("webhook__organization", "webhook__project")
    return fetch(request.user, related, permission, pk=pk)


@page("webhook.view")
def delivery(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One event: what is sent, and each attempt with the beginning of its answer."""
    found = _delivery(request, "webhook.view", pk)
    body = json.dumps(found.payload, ensure_ascii=False, indent=2, sort_keys=True)
    attempts = [attempt | {"words": words(attempt)} for attempt in reversed(found.attempts)]
    return render(request, "webhooks/delivery.html", {
        "delivery": found, "body": body, "attempts": attempts, "crumbs": [(found.webhook.name, _page_of(found.webhook))],
        "may_resend": found.webhook.is_sending and request.user.grants.allows("webhook.manage", found)})


@page("webhook.manage", methods=("POST",))
def resend(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _delivery(request, "webhook.manage", pk)
    operations.resend(found, actor=request.user)
    return acted(request, _("It is sent again."), _page_of(found.webhook), leave=True)
