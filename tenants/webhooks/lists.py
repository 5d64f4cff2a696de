"""What the lists of webhooks and of their deliveries show."""
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from portal.kernel.lists import Column, Empty, Text
from tenants.lists import BY_NAME, CREATED, ID, NAME, STATE, Listing, states
from tenants.webhooks.delivery import ERRORS
from tenants.webhooks.models import Delivery, Webhook


def where(webhook: Webhook) -> str:
    """Whose events it is told of."""
    return f"{webhook.organization.name} / {webhook.project.name}" if webhook.project else webhook.organization.name


class WebhookList(Listing):
    """Receivers of the project that is looked at and of its organization; of all that the user sees when none is."""

    name, url_name, row_template, title = "webhooks", "webhooks:list", "webhooks/_row.html", _("Webhooks")
    columns = (
        ID, NAME, STATE, Column(label=_("Whose events"), kind="wide-only", value=lambda line: where(line.row)),
        Column(label=_("Events"), kind="wide-only", value=lambda line: " ".join(line.row.events)), CREATED)
    filters = (BY_NAME, states(Webhook.State.choices))
    empty = Empty(icon="bolt", title=_("No webhooks yet"), action=_("Create webhook"), url_name="webhooks:create",
                  permission="webhook.manage",
                  command="mains webhook create chat --address https://hooks.example.org/mains --event '*'",
                  text=_("A webhook tells a program of yours what happens here, as soon as it happens."))

    def rows(self) -> QuerySet[Webhook]:
        rows = Webhook.objects.visible_to(self.user).select_related("organization", "project")
        if self.project is None:
            return rows
        return rows.filter(Q(project=self.project) | Q(project=None, organization=self.project.organization_id))


class DeliveryList(Listing):
    """What was sent to one webhook, newest first, on the webhook's page."""

    name, row_template, page_template = "deliveries", "webhooks/_delivery_row.html", "webhooks/detail.html"
    columns = (
        ID, Column(label=_("Event"), value=lambda line: line.row.type), STATE,
        Column(label=_("Answer"), value=lambda line: answered(line.row)),
        Column(label=_("Tries"), kind="wide-only text-end", value=lambda line: len(line.row.attempts)),
        Column(label=CREATED.label, sort="created_at", value=CREATED.value))
    filters = (Text(name="type", label=_("Event contains …"), paths=("type",)), states(Delivery.State.choices))
    live, polls = "webhook_delivery", True  # what receivers answer has no events
    has_actions = True
    empty = Empty(icon="bolt", title=_("Nothing was sent yet"), text=_("Send a test, or wait for an event."))

    def __init__(self, request: HttpRequest, webhook: Webhook) -> None:
        super().__init__(request)
        self.webhook, self.title = webhook, webhook.name

    @cached_property
    def address(self) -> str:
        return reverse("webhooks:detail", args=[self.webhook.pk])

    def rows(self) -> QuerySet[Delivery]:
        return Delivery.objects.visible_to(self.user).filter(webhook=self.webhook).select_related("webhook")

    def items(self, rows: list[Delivery]) -> list[str]:
        """The last answer in words."""
        return [answered(row) for row in rows]

    def is_changing(self, row: Delivery) -> bool:
        return row.state == Delivery.State.PENDING and self.webhook.is_sending


def answered(delivery: Delivery) -> str:
    """The status of the last attempt, or what went wrong; empty before the first."""
    return words(delivery.last) if delivery.last else ""


def words(attempt: dict[str, Any]) -> str:
    """`200`, `503: The receiver refused it.`"""
    return ": ".join(filter(None, (str(attempt["status"] or ""), str(ERRORS.get(attempt["error"], attempt["error"])))))
