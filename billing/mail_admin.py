"""Operators' view of what goes out about bills, and of months that could not be closed."""
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from billing import closing
from billing.models import ClosingFailure, InvoiceMail
from billing.periods import Month
from portal.kernel.admin import ReadOnlyAdmin, act
from portal.kernel.admin.columns import OneOf
from portal.kernel.states import database_now


class MailStateFilter(OneOf):
    title, parameter_name = _("state"), "state"

    @classmethod
    def words(cls) -> dict[str, object]:
        return dict(InvoiceMail.State.choices)


@admin.register(InvoiceMail)
class InvoiceMailAdmin(ReadOnlyAdmin):
    """Written when a bill is issued, and when somebody has it sent again."""

    list_display = ("invoice", "address", "state_word", "tries", "error", "created_at", "finished_at")
    list_filter = (MailStateFilter,)
    list_select_related = ("invoice",)
    page_related = ("asked_by",)
    search_fields = ("invoice__number", "address")
    identifiers = ("pk", "invoice_id")
    ordering = ("-created_at", "-id")
    fields = readonly_fields = ("invoice", "address", "asked_by", "state_word", "tries", "error", "next_at", "created_at",
                                "finished_at")

    def name_of(self, row: InvoiceMail) -> str:
        return f"{row.invoice} – {row.address}"

    @display(description=_("state"), ordering="state", label={"ok": "success", "busy": "info", "bad": "danger"})
    def state_word(self, row: InvoiceMail) -> tuple[str, object]:
        return row.tone, row.get_state_display()


@admin.register(ClosingFailure)
class ClosingFailureAdmin(ReadOnlyAdmin):
    """Each is tried again every hour; the row goes when the month is closed."""

    actions = ("close_now",)
    list_display = ("month", "organization", "error", "tries", "first_at", "last_at")
    list_filter = (("organization", AutocompleteSelectFilter),)
    list_select_related = ("organization",)
    search_fields = ("month", "organization__name")
    identifiers = ("organization_id",)
    ordering = ("-last_at", "-id")
    fields = readonly_fields = ("month", "organization", "error", "tries", "first_at", "last_at")

    def name_of(self, row: ClosingFailure) -> str:
        return f"{row.month} – {row.organization}"

    @act(_("Close now"))
    def close_now(self, row: ClosingFailure, actor) -> None:
        closing.close(row.organization, Month.named(row.month), now=database_now(), actor=actor)
