"""Operators' view of bills: who bills and how is edited, what was booked is only read and found."""
from collections.abc import Mapping
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display

from billing import closing, outbox, payments, report_admin
from billing.booked import Booked, amount_column, money_text
from billing.invoice_forms import BillingProfileForm, IssuerForm, NewAdjustmentForm, NewCreditNoteForm, NewPaymentForm
from billing.invoice_queries import WORDS, Standing, standings
from billing.models import BillingProfile, Charge, Entry, Invoice, InvoiceLine, Issuer, Leg, Payment, Series, TaxRate
from billing.money import Money, together
from billing.periods import Month
from portal.kernel.admin import AuditedAdmin, OperatorsActions, ReadOnlyAdmin, act
from portal.kernel.admin.columns import MeterFilter, OneOf

WORDS_OF_PARTY = {"country": _("Country"), "tax_id": _("Tax id"), "email": _("E-mail"), "bank": _("Bank details"),
                  "language": _("Language")}


class KindFilter(OneOf):
    """Of charges."""

    title, parameter_name = _("kind"), "kind"

    @classmethod
    def words(cls) -> dict[str, object]:
        return dict(Charge.Kind.choices)


class InvoiceKindFilter(KindFilter):
    @classmethod
    def words(cls) -> dict[str, object]:
        return dict(Invoice.Kind.choices)


def on_lines(party: Mapping[str, str]) -> str:
    """Who sells or buys, as an invoice kept it, a line for each part of it."""
    named = [(WORDS_OF_PARTY.get(name), str(party.get(name) or "")) for name in ("name", "address", *WORDS_OF_PARTY)]
    lines = [(f"{word}: {line}" if word else line,) for word, text in named for line in text.splitlines()]
    return format_html_join(mark_safe("<br>"), "{}", lines) or "–"


def said_of(found: closing.Correction) -> str:
    """What rating a month anew finds."""
    if not found.count:
        return gettext("Nothing differs.")
    return gettext("%(count)s differences: %(sums)s") % {"count": found.count, "sums": ", ".join(map(str, found.sums))}


class LegInline(TabularInline):
    model, extra, can_delete, max_num = Leg, 0, False, 0
    fields = readonly_fields = ("account", "amount_text")
    amount_text = amount_column("amount", _("amount"))

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Invoice)
class InvoiceAdmin(Booked):
    """Issued by closing a month; never changed. What is added by hand is a credit note."""

    actions_row = ("new_credit_note",)
    actions = ("preview", "rate_anew", "send_again", "write_off")
    autocomplete_fields = ("corrects",)
    list_display = ("number", "kind", "organization", "month", "total_text", "issued_at", "due_at")
    list_filter = (InvoiceKindFilter, ("organization", AutocompleteSelectFilter))
    list_select_related = ("organization",)
    search_fields = ("number", "organization__name")
    identifiers = ("pk", "organization_id")
    ordering = ("-issued_at", "-id")
    new_form, shown = NewCreditNoteForm, (
        "organization", "kind", "number", "month", "start", "end", "subtotal_text", "credit_text", "tax_name", "tax_percent",
        "tax_text", "total_text", "open_text", "state", "corrects", "reason", "issued_at", "due_at", "lines_link",
        "seller_text", "buyer_text")
    total_text, subtotal_text = amount_column("total", _("total")), amount_column("subtotal", _("subtotal"))
    credit_text, tax_text = amount_column("credit", _("paid by credit")), amount_column("tax", _("tax amount"))

    @display(description=_("start"))
    def start(self, invoice: Invoice):
        return invoice.period.lower

    @display(description=_("end"))
    def end(self, invoice: Invoice):
        return invoice.period.upper

    @display(description=_("to pay"))
    def open_text(self, invoice: Invoice) -> str:
        left = self._standing(invoice).open
        return money_text(left.amount, left.currency)

    @display(description=_("seller"))
    def seller_text(self, invoice: Invoice) -> str:
        return on_lines(invoice.seller)

    @display(description=_("buyer"))
    def buyer_text(self, invoice: Invoice) -> str:
        return on_lines(invoice.buyer)

    @display(description=_("state"))
    def state(self, invoice: Invoice) -> object:
        return WORDS[self._standing(invoice).state]

    @action(description=_("Credit note"), url_path="credit-note")
    def new_credit_note(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:billing_invoice_add')}?{urlencode({'corrects': object_id})}")

    @act(_("Write off"), confirm=_("Nobody is asked to pay it any more. This cannot be undone."))
    def write_off(self, row: Invoice, actor) -> None:
        payments.write_off(row, reason=gettext("Written off"), actor=actor)

    @act(_("Preview rating anew"))
    def preview(self, row: Invoice, actor) -> str:
        return said_of(closing.rerate(row.organization, Month.named(row.month), commit=False))

    @act(_("Rate month anew"), confirm=_("What the month costs by what is known now, less what was charged, goes on the next "
                                         "invoice."))
    def rate_anew(self, row: Invoice, actor) -> str:
        return said_of(closing.rerate(row.organization, Month.named(row.month), commit=True, actor=actor))

    @act(_("Send by mail again"))
    def send_again(self, row: Invoice, actor) -> None:
        outbox.send_again(row, actor=actor)

    def get_urls(self) -> list:
        return [*report_admin.pages(), *super().get_urls()]

    @display(description=_("lines"))
    def lines_link(self, invoice: Invoice) -> str:
        return format_html('<a href="{}?q={}">{}</a>', reverse("admin:billing_invoiceline_changelist"), invoice.pk, _("Lines"))

    def _standing(self, invoice: Invoice) -> Standing:
        if "_standing" not in invoice.__dict__:
            [invoice._standing] = standings([invoice])
        return invoice._standing


@admin.register(InvoiceLine)
class InvoiceLineAdmin(ReadOnlyAdmin):
    list_display = ("invoice", "position", "project", "region", "meter", "sku", "amount_text")
    list_filter = (MeterFilter, ("project", AutocompleteSelectFilter))
    list_select_related = ("invoice", "project", "region")
    search_fields = ("invoice__number", "sku", "text")
    identifiers = ("invoice_id", "project_id")
    ordering = ("-id",)
    fields = readonly_fields = ("invoice", "position", "project", "project_name", "region", "region_name", "kind",
                                "meter", "sku", "text", "quantity", "unit_price", "tier", "discount_percent", "amount_text")

    @display(description=_("amount"), ordering="amount")
    def amount_text(self, line: InvoiceLine) -> str:
        return money_text(line.amount, line.invoice.currency)


@admin.register(Charge)
class ChargeAdmin(Booked):
    """Also those that wait for the next invoice: they have no line. What is added by hand is an adjustment, which waits too."""

    autocomplete_fields = ("organization", "project")

    list_display = ("organization", "kind", "resource", "meter", "sku", "start", "end", "amount_text", "line")
    list_filter = (KindFilter, MeterFilter, ("organization", AutocompleteSelectFilter))
    list_select_related = ("organization", "resource", "line__invoice")
    page_related = ("project", "region", "interval__resource", "price")
    search_fields = ("sku", "text", "resource__name")
    identifiers = ("resource_id", "interval_id", "organization_id")
    ordering = ("-id",)
    new_form, shown = NewAdjustmentForm, (
        "organization", "project", "region", "resource", "resource_name", "resource_tags", "interval", "kind", "meter", "sku",
        "text", "start", "end", "units", "quantity", "price", "unit_price", "tier", "discount_percent",
        "list_text", "amount_text", "line", "created_at")
    amount_text, list_text = amount_column("amount", _("amount")), amount_column("list_amount", _("before discount"))

    @display(description=_("start"))
    def start(self, charge: Charge):
        return charge.span.lower

    @display(description=_("end"))
    def end(self, charge: Charge):
        return charge.span.upper


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """The ledger. Debits are above zero, credits below; legs sum to zero."""

    list_display = ("at", "kind", "organization", "invoice", "amount_text", "text", "actor")
    list_filter = (("organization", AutocompleteSelectFilter),)
    list_select_related = ("organization", "invoice", "actor")
    search_fields = ("key", "text", "organization__name", "invoice__number")
    identifiers = ("pk", "organization_id", "invoice_id")
    ordering = ("-at", "-id")
    fields = readonly_fields = ("organization", "key", "kind", "invoice", "text", "actor", "at")
    inlines = (LegInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        return super().get_queryset(request).prefetch_related("legs")

    @display(description=_("amount"))
    def amount_text(self, entry: Entry) -> str:
        """What was moved: its debits."""
        debits = together(Money(leg.amount, leg.currency) for leg in entry.legs.all() if leg.amount > 0)
        return ", ".join(money_text(one.amount, one.currency) for one in debits)


@admin.register(Payment)
class PaymentAdmin(Booked):
    """What is added by hand was seen in the bank."""

    autocomplete_fields = ("organization",)
    list_display = ("received_at", "organization", "amount_text", "provider", "reference", "recorded_by")
    list_filter = (("organization", AutocompleteSelectFilter),)
    list_select_related = ("organization", "recorded_by")
    search_fields = ("reference", "organization__name")
    identifiers = ("pk", "organization_id")
    ordering = ("-received_at", "-id")
    new_form, shown = NewPaymentForm, ("organization", "amount_text", "provider", "reference", "received_at", "recorded_by")
    amount_text = amount_column("amount", _("amount"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Payment],
                           search_term: str) -> tuple[QuerySet[Payment], bool]:
        """References of earlier versions look like ids: 32 digits in hex."""
        found = queryset.filter(reference=search_term.strip())
        return (found, False) if found.exists() else super().get_search_results(request, queryset, search_term)


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin):
    list_display = ("name", "last")
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(TaxRate)
class TaxRateAdmin(AuditedAdmin):
    """A new rate is a new row from its day on; invoices keep what they were issued with."""

    list_display = ("country", "name", "percent", "since")
    list_filter = ("country",)
    search_fields = ("country", "name")
    ordering = ("country", "-since")


@admin.register(Issuer)
class IssuerAdmin(AuditedAdmin):
    """One row. Its months are cut by its time zone, which stays once anything was invoiced."""

    form = IssuerForm
    list_display = ("name", "country", "time_zone", "prefix", "due_days")
    search_fields = ("name",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one. Every page of admin asks; only those of the issuer look."""
        is_here = request.resolver_match is not None and (request.resolver_match.url_name or "").startswith("billing_issuer")
        return super().has_add_permission(request) and not (is_here and Issuer.objects.exists())

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Issuer | None = None) -> tuple[str, ...]:
        return ("time_zone",) if Invoice.objects.exists() else ()

    def save_model(self, request: HttpRequest, obj: Issuer, form, change: bool) -> None:
        obj.pk = 1
        super().save_model(request, obj, form, change)


@admin.register(BillingProfile)
class BillingProfileAdmin(OperatorsActions):
    """Also what operators alone say: whether an organization is billed without tax, or pays in advance."""

    form = BillingProfileForm
    list_display = ("organization", "name", "country", "language", "is_tax_exempt", "is_prepaid")
    list_filter = ("is_tax_exempt", "is_prepaid")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name", "tax_id")
    autocomplete_fields = ("organization",)
    ordering = ("organization__name",)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: BillingProfile | None = None) -> tuple[str, ...]:
        return ("organization",) if obj else ()

    def get_form(self, request: HttpRequest, obj: BillingProfile | None = None, change: bool = False, **kwargs: object):
        return type("FormOfActor", (super().get_form(request, obj, change, **kwargs),), {"actor": request.user})

    def save_model(self, request: HttpRequest, obj: BillingProfile, form, change: bool) -> None:
        """The form's verb wrote it."""
