"""Webhooks in admin: read, and stopped where one makes trouble. Secrets are never shown."""
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from portal.kernel.admin import ALREADY, ReadOnlyAdmin, act
from tenants.models import User
from tenants.webhooks.lists import answered
from tenants.webhooks.models import Delivery, Webhook
from tenants.webhooks.operations import change_webhook, parse_host


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "project", "host", "state", "maker", "created_at", "deleted_at")
    list_filter = ("state", ("organization", AutocompleteSelectFilter))
    search_fields = ("name", "organization__name")
    identifiers = ("pk", "organization_id")
    list_select_related = ("organization", "project", "maker")
    ordering = ("-created_at",)
    exclude = ("secret", "previous_secret", "url")
    actions = ("disable",)

    @display(description=_("host"))
    def host(self, webhook: Webhook) -> str:
        return parse_host(webhook.url)

    @act(_("Disable"), confirm=_("Nothing is sent until somebody enables it again."),
         why_not=lambda row: "" if row.is_sending else ALREADY)
    def disable(self, row: Webhook, actor: User) -> None:
        change_webhook(row, actor=actor, enabled=False)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("type", "webhook", "state", "answer", "tries", "next_at", "created_at")
    list_filter = ("state",)
    search_fields = ("type",)
    identifiers = ("pk", "webhook_id", "event_id")
    list_select_related = ("webhook",)
    ordering = ("-created_at",)

    @display(description=_("answer"))
    def answer(self, delivery: Delivery) -> str:
        return answered(delivery) or "–"
