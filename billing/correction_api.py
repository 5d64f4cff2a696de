"""REST of what operators do to bills, as admin does it: credit notes, write-offs, rating anew, adjustments, payments, refunds.

Actions of the viewsets in `billing.invoice_api`, for administrators alone; but an invoice is mailed again by who manages bills.
"""
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import closing, outbox, payments
from billing.invoice_forms import MANUAL
from billing.models import Invoice, InvoiceLine, InvoiceMail
from billing.money import Money
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.rest.serializers import MoneySerializer, StrictSerializer, VisibleField
from tenants.models import Organization, Project

MOST_LINES = 1000
TRANSFER = {"amount": "4.00", "currency": "CNY", "reference": "2026-11-03 / 4711"}


@extend_schema_field(OpenApiTypes.STR)
class AmountField(serializers.DecimalField):
    """A decimal as a string; a float would have been rounded already."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=2, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class CreditNoteSerializer(StrictSerializer):
    """Either `amount`, before tax, or `lines` by their positions."""

    example = {"amount": "2.50", "reason": "Half a day down"}
    amount = AmountField(required=False)
    lines = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=2**31 - 1), required=False,
                                  allow_empty=False, max_length=MOST_LINES)
    reason = serializers.CharField(max_length=200)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("amount" in attrs) == ("lines" in attrs):
            raise serializers.ValidationError({"amount": [_("Either this or lines.")]})
        return attrs


class WriteOffSerializer(StrictSerializer):
    """Why nobody pays it any more."""

    example = {"reason": "Insolvent"}
    reason = serializers.CharField(max_length=200)


class RerateSerializer(StrictSerializer):
    """Without `commit` what differs is only told."""

    example = {"commit": False}
    commit = serializers.BooleanField(default=False)


class DifferenceSerializer(serializers.Serializer):
    """What an interval costs by what is known now, less what was charged for it."""

    example = {"meter": "instance.running", "sku": "small"}
    interval = serializers.UUIDField(allow_null=True)
    project = serializers.UUIDField()
    resource = serializers.UUIDField()
    meter = serializers.CharField()
    sku = serializers.CharField()
    amount = MoneySerializer(source="money.as_json")


class CorrectionSerializer(serializers.Serializer):
    """How many differences there are, their sum in each currency, and the greatest."""

    example = {"month": "2026-10", "count": 1}
    month = serializers.CharField()
    count = serializers.IntegerField()
    sums = serializers.SerializerMethodField()
    differences = DifferenceSerializer(many=True)

    @extend_schema_field(MoneySerializer(many=True))
    def get_sums(self, found: closing.Correction) -> list[dict[str, str]]:
        return [one.as_json() for one in found.sums]


class AdjustSerializer(StrictSerializer):
    """So much more (below zero: less) on the next invoice, before tax, in the currency of the prices."""

    example = {"amount": "-2.50", "text": "Sorry for Monday"}
    organization = VisibleField(Organization)
    amount = AmountField()
    text = serializers.CharField(max_length=200)
    project = VisibleField(Project, required=False, allow_null=True)


class AdjustmentSerializer(serializers.Serializer):
    """A charge that waits for the next invoice."""

    example = {"text": "Sorry for Monday"}
    organization = serializers.UUIDField(source="organization_id")
    project = serializers.UUIDField(source="project_id", allow_null=True)
    amount = serializers.SerializerMethodField()
    text = serializers.CharField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(MoneySerializer)
    def get_amount(self, row: Any) -> dict[str, str]:
        return Money(row.amount, row.currency).as_json()


class TransferSerializer(StrictSerializer):
    """Money that moved. The reference is the provider's own name of it, and is recorded once: again, it is the same payment."""

    example = TRANSFER
    organization = VisibleField(Organization)
    amount = AmountField(help_text="Above zero, refunds too.")
    currency = serializers.CharField(max_length=3)
    provider = serializers.CharField(max_length=40, default=MANUAL)
    reference = serializers.CharField(max_length=100)
    received_at = serializers.DateTimeField(required=False, allow_null=True)


class MailSerializer(serializers.Serializer):
    """A mail with the invoice: pending, sent or failed. `asked` says that somebody had it sent again."""

    example = {"address": "bills@acme.example", "state": "sent", "tries": 1, "error": "", "asked": False}
    address = serializers.CharField()
    state = serializers.CharField()
    tries = serializers.IntegerField()
    error = serializers.CharField()
    asked = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.BooleanField)
    def get_asked(self, mail: InvoiceMail) -> bool:
        return mail.asked_by_id is not None


class MailsSerializer(serializers.Serializer):
    results = MailSerializer(many=True)


INVOICE_BODIES = {"credit_note": CreditNoteSerializer, "write_off": WriteOffSerializer, "rerate": RerateSerializer,
                  "adjust": AdjustSerializer}
PAYMENT_BODIES = {"create": TransferSerializer, "refund": TransferSerializer}
MOST_MAILS = 100


class Corrected:
    """What is done to an invoice; mixed into its viewset."""

    @action(detail=True, methods=["post"], url_path="actions/credit-note")
    def credit_note(self, request: Request, pk: str) -> Response:
        """Take back part of an invoice, and the tax on it."""
        body = self.read_body()
        lines = _lines(self.target, body.pop("lines")) if "lines" in body else ()
        return self.shown(payments.credit_note(self.target, **body, lines=lines, actor=request.user), status=201)

    @action(detail=True, methods=["post"], url_path="actions/write-off")
    def write_off(self, request: Request, pk: str) -> Response:
        """Give up what is open of an invoice. This cannot be undone."""
        payments.write_off(self.target, **self.read_body(), actor=request.user)
        return self.shown(self.target)

    @action(detail=True, methods=["post"], url_path="actions/rerate")
    def rerate(self, request: Request, pk: str) -> Response:
        """Rate the invoice's month anew. With `commit` what differs goes on the next invoice."""
        found = closing.rerate(self.target.organization, Month.named(self.target.month), **self.read_body(), actor=request.user)
        return Response(CorrectionSerializer(found).data)

    @action(detail=False, methods=["post"])
    def adjust(self, request: Request) -> Response:
        """Charge more, or less, on the next invoice of an organization."""
        return Response(AdjustmentSerializer(closing.adjust(**self.read_body(), actor=request.user)).data, status=201)

    @action(detail=True, methods=["get"])
    def mails(self, request: Request, pk: str) -> Response:
        """The mails that took the invoice to who is billed, newest first."""
        rows = InvoiceMail.objects.filter(invoice=self.target).order_by("-created_at", "pk")[:MOST_MAILS]
        return Response(MailsSerializer({"results": rows}).data)

    @action(detail=True, methods=["post"], url_path="actions/send")
    def send(self, request: Request, pk: str) -> Response:
        """Mail the invoice again, to the address of the billing profile."""
        return Response(MailSerializer(outbox.send_again(self.target, actor=request.user)).data, status=201)


class Recorded:
    """How money that moved is recorded; mixed into the viewset of payments."""

    def create(self, request: Request) -> Response:
        """Record money that came in; it settles what is open."""
        return self.shown(payments.record(**self.read_body(), actor=request.user), status=201)

    @action(detail=False, methods=["post"])
    def refund(self, request: Request) -> Response:
        """Record money that went back, out of what is paid in advance."""
        return self.shown(payments.refund(**self.read_body(), actor=request.user), status=201)


def _lines(invoice: Invoice, positions: list[int]) -> list[InvoiceLine]:
    found = list(InvoiceLine.objects.filter(invoice=invoice, position__in=positions).order_by("position"))
    if len(found) != len(positions):
        raise InvalidInput.field("lines", _("Each once, and of this invoice."))
    return found
