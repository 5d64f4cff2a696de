"""REST of bills: invoices with their lines and charges, payments, the ledger, and how an organization wants to be billed.

Bills are of a whole organization: who holds `invoice.view` in all of it sees them, and nobody changes what is issued. What
operators add to them is `billing.correction_api`'s.
"""
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.correction_api import (
    INVOICE_BODIES,
    PAYMENT_BODIES,
    AdjustmentSerializer,
    Corrected,
    CorrectionSerializer,
    MailSerializer,
    MailsSerializer,
    Recorded,
)
from billing.documents import as_file, invoice_pdf
from billing.invoice_lists import is_position
from billing.models import BillingProfile, Charge, Entry, Invoice, InvoiceLine, Leg, Payment
from billing.money import Money, plain
from billing.outbox import NotMailed
from billing.payments import open_amount
from billing.profiles import profile_of, set_profile
from portal.kernel.errors import InvalidInput, Stale
from portal.kernel.rest.etags import etag_of, is_known
from portal.kernel.rest.projection import project
from portal.kernel.rest.serializers import MoneySerializer, StrictSerializer
from portal.kernel.rest.views import STAFF, Fetched, Listed, RoomViewSet
from tenants.models import Organization

VIEW, MANAGE = "invoice.view", "billing.manage"
PARTY = {"name": "Waterworks Ltd", "address": "1 Mains Street", "country": "CN", "tax_id": "91310000MA1", "email": ""}


def money_of(name: str) -> Any:
    """The method of a serializer's field that shows the named amount in the row's currency."""
    @extend_schema_field(MoneySerializer)
    def get(_serializer: Any, row: Any) -> dict[str, str]:
        return Money(getattr(row, name), row.currency).as_json()
    return get


class InvoiceSerializer(serializers.ModelSerializer):
    """A month of an organization in one currency, or a credit note that takes back part of the invoice that `corrects` names.

    total = subtotal − credit + tax; `open` is what is still to be paid.
    """

    example = {"number": "INV-2026-000001", "kind": "invoice", "month": "2026-10", "corrects": None, "reason": "",
               "tax_name": "VAT", "tax_percent": "13.00", "seller": PARTY, "buyer": PARTY}
    reads = {name: (name, "currency") for name in ("subtotal", "credit", "tax", "total")} | {
        "open": ("pk", "organization_id", "currency")}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    start = serializers.DateTimeField(source="period.lower", read_only=True)
    end = serializers.DateTimeField(source="period.upper", read_only=True)
    subtotal, credit, tax, total, open = (serializers.SerializerMethodField() for _field in range(5))
    tax_percent = serializers.CharField(read_only=True)
    corrects = serializers.UUIDField(source="corrects_id", read_only=True, allow_null=True)
    seller = serializers.DictField(read_only=True)
    buyer = serializers.DictField(read_only=True)
    get_subtotal, get_credit, get_tax, get_total = map(money_of, ("subtotal", "credit", "tax", "total"))

    class Meta:
        model = Invoice
        fields = ("id", "organization", "kind", "number", "month", "start", "end", "subtotal", "credit", "tax_name",
                  "tax_percent", "tax", "total", "open", "corrects", "reason", "seller", "buyer", "issued_at", "due_at")
        read_only_fields = fields

    def prepare(self, rows: Iterable[Any]) -> None:
        self.context["open"] = open_amount(rows)

    @extend_schema_field(MoneySerializer)
    def get_open(self, row: Any) -> dict[str, str]:
        return Money(self.context["open"][row.pk], row.currency).as_json()


class ExactField(serializers.CharField):
    """A decimal with all of its digits and no exponent."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value, 0)


class InvoiceLineSerializer(serializers.ModelSerializer):
    """What one project used of one SKU at one price. `quantity` counts unit-seconds; `tier` is the quantity of the month, in
    unit-hours, from which the price holds."""

    example = {"position": 1, "kind": "usage", "project_name": "web", "region_name": "Lab", "meter": "instance.running",
               "sku": "small", "text": "", "quantity": "2678400", "tier": "0", "discount_percent": "0"}
    reads = {"price_per_hour": ("unit_price", "invoice__currency"), "amount": ("amount", "invoice__currency")}
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    region = serializers.UUIDField(source="region_id", read_only=True, allow_null=True)
    project_name = serializers.CharField(read_only=True, help_text="As it was when the invoice was issued.")
    region_name = serializers.CharField(read_only=True, help_text="As it was when the invoice was issued.")
    quantity, tier, discount_percent = (ExactField(read_only=True) for _field in range(3))
    price_per_hour, amount = serializers.SerializerMethodField(), serializers.SerializerMethodField()

    class Meta:
        model = InvoiceLine
        fields = ("position", "kind", "project", "project_name", "region", "region_name", "meter", "sku", "text", "quantity",
                  "price_per_hour", "tier", "discount_percent", "amount")
        read_only_fields = fields

    @extend_schema_field(MoneySerializer(allow_null=True))
    def get_price_per_hour(self, row: Any) -> dict[str, str] | None:
        return None if row.unit_price is None else Money(row.unit_price, row.invoice__currency).as_json()

    @extend_schema_field(MoneySerializer)
    def get_amount(self, row: Any) -> dict[str, str]:
        return Money(row.amount, row.invoice__currency).as_json()


class ChargeSerializer(serializers.ModelSerializer):
    """Part of an interval of usage at one version of a price, tier and discount: quantity (unit-seconds) ÷ 3600 × price per hour
    is `list_amount`, less the discount `amount`. A charge `rounding` makes the sum of a line's charges the line's amount."""

    example = {"line": 1, "kind": "usage", "resource_name": "web-1", "meter": "instance.running", "sku": "small", "text": "",
               "units": "1", "quantity": "3600", "tier": "0", "discount_percent": "0"}
    reads = {"price_per_hour": ("unit_price", "currency"), "list_amount": ("list_amount", "currency"),
             "amount": ("amount", "currency")}
    line = serializers.IntegerField(source="line.position", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    region = serializers.UUIDField(source="region_id", read_only=True, allow_null=True)
    resource = serializers.UUIDField(source="resource_id", read_only=True, allow_null=True)
    resource_name = serializers.CharField(read_only=True, help_text="As it was when this was charged.")
    interval = serializers.UUIDField(source="interval_id", read_only=True, allow_null=True)
    price = serializers.UUIDField(source="price_id", read_only=True, allow_null=True)
    start = serializers.DateTimeField(source="span.lower", read_only=True)
    end = serializers.DateTimeField(source="span.upper", read_only=True)
    units, quantity, tier, discount_percent = (ExactField(read_only=True) for _field in range(4))
    price_per_hour = serializers.SerializerMethodField()
    list_amount, amount = serializers.SerializerMethodField(), serializers.SerializerMethodField()
    get_list_amount, get_amount = map(money_of, ("list_amount", "amount"))

    class Meta:
        model = Charge
        fields = ("line", "kind", "interval", "resource", "resource_name", "project", "region", "meter", "sku", "text", "start",
                  "end", "units", "quantity", "price", "price_per_hour", "tier", "discount_percent", "list_amount", "amount")
        read_only_fields = fields

    @extend_schema_field(MoneySerializer(allow_null=True))
    def get_price_per_hour(self, row: Any) -> dict[str, str] | None:
        return None if row.unit_price is None else Money(row.unit_price, row.currency).as_json()


class LinesSerializer(serializers.Serializer):
    """One page of lines; `next` leads to the following."""

    example = {"next": None, "previous": None}
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = InvoiceLineSerializer(many=True)


class ChargesSerializer(LinesSerializer):
    """One page of charges; `next` leads to the following."""

    results = ChargeSerializer(many=True)


class InvoiceViewSet(Corrected, Listed, Fetched, RoomViewSet):
    """What organizations are billed."""

    queryset = Invoice.objects.all()
    serializer_class = InvoiceSerializer
    bodies = INVOICE_BODIES
    permissions = {**dict.fromkeys(("list", "retrieve", "lines", "charges", "pdf", "mails"), VIEW), "send": MANAGE,
                   **dict.fromkeys(INVOICE_BODIES, STAFF)}
    answers = {"lines": (200, LinesSerializer), "charges": (200, ChargesSerializer), "mails": (200, MailsSerializer),
               "send": (201, MailSerializer), "credit_note": (201, InvoiceSerializer), "write_off": (200, InvoiceSerializer),
               "rerate": (200, CorrectionSerializer), "adjust": (201, AdjustmentSerializer),
               "pdf": ((200, "application/pdf"), OpenApiTypes.BINARY)}
    errors = {"send": (NotMailed,)}
    filters = {"number": "number", "organization": "organization", "kind": "kind", "month": "month", "currency": "currency",
               "corrects": "corrects"}
    query_parameters = {"lines": ("limit", "cursor"), "charges": ("limit", "cursor", "line")}
    search_fields = ("number",)
    ordering_fields = ("issued_at",)
    ordering = "-issued_at"

    def ordering_of(self, request: Request) -> str:
        return {"lines": "position", "charges": "id"}.get(self.action) or super().ordering_of(request)

    @action(detail=True, methods=["get"])
    def lines(self, request: Request, pk: str) -> Response:
        """The lines of the invoice, in their order."""
        return self._page(InvoiceLine.objects.filter(invoice=self.target).select_related("invoice"), InvoiceLineSerializer)

    @action(detail=True, methods=["get"])
    def charges(self, request: Request, pk: str) -> Response:
        """Every charge of the invoice, or of the line at the position `line`: what explains it to the last digit."""
        rows = Charge.objects.filter(line__invoice=self.target).select_related("line")
        if (text := request.query_params.get("line")) is not None:
            try:
                rows = rows.filter(line__position=is_position(text))
            except ValueError as error:
                raise InvalidInput.field("line", _("The number of a line.")) from error
        return self._page(rows, ChargeSerializer)

    def _page(self, rows: QuerySet, serializer: type[serializers.Serializer]) -> Response:
        return self.get_paginated_response(project(serializer, self.paginate_queryset(rows), self.get_serializer_context()))

    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, pk: str) -> HttpResponse:
        """The invoice as PDF, in the language of the billing profile."""
        return as_file(self.target, invoice_pdf(self.target))


class PaymentSerializer(serializers.ModelSerializer):
    """Money that came; below zero what was paid back. `reference` is the provider's own name of it."""

    example = {"provider": "manual", "reference": "2026-11-03 / 4711"}
    reads = {"amount": ("amount", "currency")}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    amount = serializers.SerializerMethodField()
    get_amount = money_of("amount")

    class Meta:
        model = Payment
        fields = ("id", "organization", "amount", "provider", "reference", "received_at")
        read_only_fields = fields


class PaymentViewSet(Recorded, Listed, Fetched, RoomViewSet):
    """What organizations paid."""

    queryset = Payment.objects.all()
    serializer_class = PaymentSerializer
    bodies = PAYMENT_BODIES
    permissions = {"list": VIEW, "retrieve": VIEW, "create": STAFF, "refund": STAFF}
    answers = {"create": (201, PaymentSerializer), "refund": (201, PaymentSerializer)}
    filters = {"organization": "organization", "currency": "currency", "provider": "provider", "reference": "reference"}
    search_fields = ("reference",)
    ordering_fields = ("received_at",)
    ordering = "-received_at"


class LegSerializer(serializers.Serializer):
    """One side of an entry: debits above zero, credits below."""

    example = {"account": "receivable"}
    account = serializers.CharField()
    amount = MoneySerializer()


class EntrySerializer(serializers.ModelSerializer):
    """What happened to money, once. Its legs sum to zero in each currency."""

    example = {"kind": "invoice", "text": ""}
    reads = {"legs": ("pk",)}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    invoice = serializers.UUIDField(source="invoice_id", read_only=True, allow_null=True)
    legs = serializers.SerializerMethodField()

    class Meta:
        model = Entry
        fields = ("id", "organization", "kind", "invoice", "text", "at", "legs")
        read_only_fields = fields

    def prepare(self, rows: Iterable[Any]) -> None:
        legs: dict[Any, list[dict[str, Any]]] = {row.pk: [] for row in rows}
        for leg in Leg.objects.filter(entry__in=list(legs)).order_by("pk"):
            legs[leg.entry_id].append({"account": leg.account, "amount": Money(leg.amount, leg.currency).as_json()})
        self.context["legs"] = legs

    @extend_schema_field(LegSerializer(many=True))
    def get_legs(self, row: Any) -> list[dict[str, Any]]:
        return self.context["legs"][row.pk]


class EntryViewSet(Listed, Fetched, RoomViewSet):
    """The ledger, entry by entry. Nothing in it is ever changed."""

    queryset = Entry.objects.all()
    serializer_class = EntrySerializer
    permissions = {"list": VIEW, "retrieve": VIEW}
    filters = {"organization": "organization", "kind": "kind", "invoice": "invoice"}
    ordering_fields = ("at",)
    ordering = "-at"


class BillingProfileSerializer(serializers.Serializer):
    """How an organization is billed. What is issued keeps what was said then. Whether it is billed without tax is for
    operators to say."""

    example = {"name": "Acme Ltd", "address": "7 Rue de l'Eau\n1000 Bruxelles", "country": "BE", "tax_id": "BE0123456789",
               "email": "bills@acme.example", "sends_mail": True, "language": "en"}
    organization = serializers.UUIDField(source="organization_id")
    name = serializers.CharField()
    address = serializers.CharField()
    country = serializers.CharField()
    tax_id = serializers.CharField()
    email = serializers.CharField()
    sends_mail = serializers.BooleanField()
    language = serializers.CharField()
    is_tax_exempt = serializers.BooleanField()
    is_prepaid = serializers.BooleanField()


class ChangeBillingProfileSerializer(StrictSerializer):
    """What is not named stays as it is."""

    example = {"name": "Acme Ltd", "country": "BE"}
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    address = serializers.CharField(max_length=500, required=False, allow_blank=True)
    country = serializers.CharField(max_length=2, required=False, allow_blank=True)
    tax_id = serializers.CharField(max_length=50, required=False, allow_blank=True)
    email = serializers.CharField(max_length=254, required=False, allow_blank=True)
    sends_mail = serializers.BooleanField(required=False)
    language = serializers.ChoiceField(choices=BillingProfile.Language.choices, required=False)


class BillingProfileViewSet(RoomViewSet):
    """How organizations are billed; the id is the organization's."""

    queryset = Organization.objects.all()
    serializer_class = BillingProfileSerializer
    bodies = {"partial_update": ChangeBillingProfileSerializer}
    permissions = {"retrieve": VIEW, "partial_update": MANAGE}

    def represent(self, row: Organization) -> dict[str, Any]:
        return project(BillingProfileSerializer, [profile_of(row)], self.get_serializer_context())[0]

    def matched(self, request: Request, target: Organization) -> Organization:
        """By all of the tag: the organization's own row does not change with its profile."""
        wanted = request.headers.get("If-Match", "*").strip()
        Organization.objects.select_for_update(no_key=True).get(pk=target.pk)
        if wanted != "*" and not is_known(etag_of(target, self.represent(target)), wanted):
            raise Stale
        return target

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.shown(self.target)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Say how the organization wants to be billed, from the next invoice on."""
        set_profile(self.target, actor=request.user, **self.read_body())
        return self.shown(self.target)
