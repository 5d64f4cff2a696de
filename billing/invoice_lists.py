"""What the lists of bills show: invoices, their lines, the charges behind a line, payments. The pages are in `invoice_views`."""
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from billing.invoice_queries import OPEN, PAID, Standing, standings, unpaid
from billing.models import Charge, Invoice, InvoiceLine, Payment
from billing.money import Money
from portal.kernel.declarations import registry
from portal.kernel.lists import Choice, Column, Empty, Exact, Month, Text
from tenants.lists import ID, Listing

HOUR, MICRO = Decimal(3600), Decimal("0.000001")


def meter_label(name: str) -> str:
    declared = registry.meters.get(name)
    return str(declared.label) if declared else name


def price_unit(name: str) -> str:
    """What a price of the meter is for: `hour`, `GiB and hour`."""
    declared = registry.meters.get(name)
    return str(declared.price_unit) if declared else ""


def organization_column(get: Any) -> Column:
    return Column(label=_("Organization"), kind="wide-only", for_all_projects=True, value=get)


class OfOrganization(Listing):
    """Rows of whole organizations: while a project is looked at, those of its organization."""

    def narrowed(self, rows: QuerySet) -> QuerySet:
        return rows if self.project is None else rows.filter(organization=self.project.organization_id)


class InvoiceList(OfOrganization):
    """Invoices and credit notes, newest first."""

    name, url_name, row_template = "invoices", "invoices:list", "billing/_invoice_row.html"
    title, ordering = _("Invoices"), "-issued_at"
    columns = (
        ID, Column(label=_("Number"), value=lambda line: line.row.number),
        Column(label=_("State"), value=lambda line: line.item.word),
        Column(label=_("Month"), kind="wide-only", value=lambda line: line.row.month),
        organization_column(lambda line: line.row.organization.name),
        Column(label=_("Total"), kind="text-end", value=lambda line: line.item.total.amount),
        Column(label=_("To pay"), kind="wide-only text-end", value=lambda line: line.item.unpaid),
        Column(label=_("Currency"), only_in_csv=True, value=lambda line: line.row.currency),
        Column(label=_("Tax"), only_in_csv=True, value=lambda line: line.item.sign * line.row.tax),
        Column(label=_("Due"), kind="wide-only", value=lambda line: line.row.due_at),
        Column(label=_("Issued"), sort="issued_at", kind="wide-only", value=lambda line: line.row.issued_at))
    empty = Empty(icon="file-text", title=_("No invoices yet"), command="mains invoice list",
                  text=_("A month is invoiced when it is over, to the organization as a whole: those with a role in all of it "
                         "see its invoices here."))

    def user_filters(self) -> tuple[Any, ...]:
        states = Choice(name="state", label=_("State"), choices=[(OPEN, _("To pay")), (PAID, _("Paid"))], means=self._in_state)
        return (Text(name="number", label=_("Number contains …"), paths=("number",)), states,
                Month(name="month", label=_("Month"), is_extra=True),
                Choice(name="kind", label=_("Kind"), choices=Invoice.Kind.choices, is_extra=True))

    def _in_state(self, value: str) -> Q:
        is_open = Q(pk__in=unpaid(self.user))
        return is_open if value == OPEN else ~is_open & Q(kind=Invoice.Kind.INVOICE)

    def rows(self) -> QuerySet[Invoice]:
        return self.narrowed(Invoice.objects.visible_to(self.user)).select_related("organization")

    def items(self, rows: list[Invoice]) -> list[Standing]:
        return standings(rows)

    def name_of(self, row: Invoice) -> str:
        return row.number


@dataclass(frozen=True, kw_only=True)
class ShownLine:
    """A line of an invoice as it is shown."""

    line: InvoiceLine
    currency: str
    sign: int

    @property
    def title(self) -> str:
        return self.line.text or meter_label(self.line.meter)

    @property
    def unit(self) -> str:
        return price_unit(self.line.meter)

    @property
    def quantity(self) -> Decimal:
        """In what the price is for, to a millionth: unit-hours."""
        return (self.line.quantity / HOUR).quantize(MICRO, ROUND_HALF_UP)

    @property
    def money(self) -> Money:
        return Money(self.sign * self.line.amount, self.currency)


class LineList(Listing):
    """The lines of one invoice, on its page."""

    name, row_template, page_template, ordering = "invoice-lines", "billing/_line_row.html", "billing/invoice.html", "position"
    columns = (
        Column(label=_("Line"), sort="position", value=lambda line: line.row.position),
        Column(label=_("What"), value=lambda line: line.item.title),
        Column(label=_("SKU"), only_in_csv=True, value=lambda line: line.row.sku),
        Column(label=_("Project"), kind="wide-only", value=lambda line: line.row.project_name or None),
        Column(label=_("Location"), kind="wide-only", value=lambda line: line.row.region_name or None),
        Column(label=_("Quantity"), kind="wide-only text-end", value=lambda line: line.item.quantity),
        Column(label=_("Unit"), only_in_csv=True, value=lambda line: line.item.unit),
        Column(label=_("Price"), kind="wide-only text-end", value=lambda line: line.row.unit_price),
        Column(label=_("From quantity"), only_in_csv=True, value=lambda line: line.row.tier),
        Column(label=_("Discount, percent"), only_in_csv=True, value=lambda line: line.row.discount_percent),
        Column(label=_("Amount"), kind="text-end", value=lambda line: line.item.money.amount),
        Column(label=_("Currency"), only_in_csv=True, value=lambda line: line.item.currency))
    filters = (Text(name="what", label=_("SKU or project contains …"), paths=("sku", "project_name", "text")),)
    empty = Empty(icon="file-text", title=_("No lines"), text=_("Nothing was charged."))

    def __init__(self, request: HttpRequest, standing: Standing) -> None:
        super().__init__(request)
        self.standing, self.title = standing, standing.invoice.number

    @cached_property
    def address(self) -> str:
        return reverse("invoices:detail", args=[self.standing.invoice.pk])

    def rows(self) -> QuerySet[InvoiceLine]:
        return InvoiceLine.objects.filter(invoice=self.standing.invoice)

    def items(self, rows: list[InvoiceLine]) -> list[ShownLine]:
        return [ShownLine(line=row, currency=self.standing.invoice.currency, sign=self.standing.sign) for row in rows]


def is_position(text: str) -> int:
    """A line's number; raises ValueError for what can be none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1:
        raise ValueError(text)
    return number


class ChargeList(Listing):
    """What lines of one invoice are made of, charge by charge; `?line=3` those of one line."""

    name, row_template, page_template, ordering = "charges", "billing/_charge_row.html", "billing/charges.html", "id"
    columns = (
        Column(label=_("Line"), kind="wide-only", value=lambda line: line.row.line.position),
        Column(label=_("Resource"), value=lambda line: line.row.resource_name or None),
        Column(label=_("Resource id"), only_in_csv=True, value=lambda line: line.row.resource_id),
        Column(label=_("Interval"), only_in_csv=True, value=lambda line: line.row.interval_id),
        Column(label=_("Kind"), only_in_csv=True, value=lambda line: line.row.get_kind_display()),
        Column(label=_("Meter"), only_in_csv=True, value=lambda line: line.row.meter),
        Column(label=_("SKU"), only_in_csv=True, value=lambda line: line.row.sku),
        Column(label=_("From"), value=lambda line: line.row.span.lower),
        Column(label=_("To"), only_in_csv=True, value=lambda line: line.row.span.upper),
        Column(label=_("Units"), only_in_csv=True, value=lambda line: line.row.units),
        Column(label=_("Unit-seconds"), kind="wide-only text-end", value=lambda line: line.row.quantity),
        Column(label=_("Price per hour"), kind="wide-only text-end", value=lambda line: line.row.unit_price),
        Column(label=_("Price version"), only_in_csv=True, value=lambda line: line.row.price_id),
        Column(label=_("From quantity"), only_in_csv=True, value=lambda line: line.row.tier),
        Column(label=_("Before discount"), only_in_csv=True, value=lambda line: line.row.list_amount),
        Column(label=_("Discount, percent"), only_in_csv=True, value=lambda line: line.row.discount_percent),
        Column(label=_("Amount"), kind="text-end", value=lambda line: line.row.amount),
        Column(label=_("Currency"), only_in_csv=True, value=lambda line: line.row.currency))
    empty = Empty(icon="file-text", title=_("No charges"), text=_("This line stands for itself."))
    filters = (Exact(name="line", label=_("Line"), path="line__position", check=is_position),
               Choice(name="kind", label=_("Kind"), choices=Charge.Kind.choices),
               Text(name="resource", label=_("Resource contains …"), paths=("resource_name",)))

    def __init__(self, request: HttpRequest, invoice: Invoice) -> None:
        super().__init__(request)
        self.invoice, self.title = invoice, _("Charges")

    @cached_property
    def address(self) -> str:
        return reverse("invoices:charges", args=[self.invoice.pk])

    @cached_property
    def line(self) -> InvoiceLine | None:
        """The one that is explained; None while all are listed."""
        chosen = self.chosen.get("line")
        return InvoiceLine.objects.filter(invoice=self.invoice, position=chosen[0]).first() if chosen else None

    def rows(self) -> QuerySet[Charge]:
        return Charge.objects.filter(line__invoice=self.invoice).select_related("line", "resource", "price")


class PaymentList(OfOrganization):
    """What was paid, newest first."""

    name, url_name, row_template = "payments", "payments:list", "billing/_payment_row.html"
    title, ordering = _("Payments"), "-received_at"
    columns = (
        ID, Column(label=_("Received"), sort="received_at", value=lambda line: line.row.received_at),
        Column(label=_("By way of"), value=lambda line: line.row.provider),
        Column(label=_("Reference"), kind="wide-only", value=lambda line: line.row.reference),
        organization_column(lambda line: line.row.organization.name),
        Column(label=_("Amount"), kind="text-end", value=lambda line: line.row.amount),
        Column(label=_("Currency"), only_in_csv=True, value=lambda line: line.row.currency))
    filters = (Text(name="reference", label=_("Reference contains …"), paths=("reference",)),)
    empty = Empty(icon="credit-card", title=_("No payments yet"), command="mains payment list",
                  text=_("What the organization pays appears here, and what is paid back."))

    def rows(self) -> QuerySet[Payment]:
        return self.narrowed(Payment.objects.visible_to(self.user)).select_related("organization")

    def items(self, rows: list[Payment]) -> list[Money]:
        return [Money(row.amount, row.currency) for row in rows]
