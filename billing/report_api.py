"""REST of operators' reports, for administrators alone: what `billing.reports` adds up, as admin shows it. Of what closing a
month would bill, it is closed here too."""
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import closing, issuing, reports
from billing.models import Invoice, PriceBook
from billing.money import Money, plain
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.remembered import remembered
from portal.kernel.rest.serializers import MoneySerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import STAFF, RoomViewSet
from portal.kernel.states import database_now
from tenants.models import Organization

CLOSES_FOR_S = 5
"""So long one request begins to close: it is one transaction, and holds the numbers of invoices."""


class GapSerializer(serializers.Serializer):
    """Usage that a book does not price."""

    example = {"region": "Lab", "meter": "instance.running", "sku": "small", "unit_hours": "10"}
    region = serializers.CharField()
    meter = serializers.CharField()
    sku = serializers.CharField()
    unit_hours = serializers.CharField(allow_null=True)


class RevenueRowSerializer(serializers.Serializer):
    """`open` is part of the revenue and not invoiced yet; `cost` and `margin` are null in a currency without a cost book."""

    example = {"key": "Compute", "name": "Compute"}
    key = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    revenue = MoneySerializer()
    open = MoneySerializer()
    before = MoneySerializer()
    cost = MoneySerializer(allow_null=True)
    margin = MoneySerializer(allow_null=True)


class MonthSumsSerializer(serializers.Serializer):
    """What the month's invoices came to, less credit notes."""

    revenue = MoneySerializer()
    discount = MoneySerializer()
    credit = MoneySerializer()
    tax = MoneySerializer()
    written_off = MoneySerializer()


class RevenueSerializer(serializers.Serializer):
    """A month, dearest first; `before` is the month before. `gaps` are counted as a cost of nothing."""

    example = {"month": "2026-10", "by": "organization"}
    month = serializers.CharField()
    by = serializers.CharField()
    results = RevenueRowSerializer(many=True)
    sums = MonthSumsSerializer(many=True)
    gaps = GapSerializer(many=True)


class OwedSerializer(serializers.Serializer):
    """What an organization owes, by how long it is due."""

    example = {"name": "Acme"}
    organization = serializers.UUIDField()
    name = serializers.CharField()
    current = MoneySerializer()
    days_30 = MoneySerializer()
    days_60 = MoneySerializer()
    days_90 = MoneySerializer()
    older = MoneySerializer()
    total = MoneySerializer()


class ReceivablesSerializer(serializers.Serializer):
    results = OwedSerializer(many=True)


class WaitingSerializer(serializers.Serializer):
    """A month that is over and on no invoice; `reason` says why."""

    example = {"month": "2026-10", "name": "Acme", "reason": "failed", "error": "RuntimeError: out of paper"}
    month = serializers.CharField()
    organization = serializers.UUIDField()
    name = serializers.CharField()
    amounts = MoneySerializer(many=True)
    reason = serializers.CharField()
    error = serializers.CharField()


class UnpricedSerializer(serializers.Serializer):
    """What runs now and has no price in the books of who uses it."""

    example = {"region": "Lab", "meter": "instance.running", "sku": "small"}
    region = serializers.CharField()
    meter = serializers.CharField()
    sku = serializers.CharField()


class UnbilledSerializer(serializers.Serializer):
    results = WaitingSerializer(many=True)
    unpriced = UnpricedSerializer(many=True)


class PreviewRowSerializer(serializers.Serializer):
    """A month of an organization by its terms, under the book, and that less its discounts; `difference` is of the first and the
    last, null between different currencies."""

    example = {"name": "Acme"}
    organization = serializers.UUIDField()
    name = serializers.CharField()
    before = MoneySerializer(many=True)
    under = MoneySerializer(many=True)
    discounted = MoneySerializer(many=True)
    difference = MoneySerializer(allow_null=True)


class PreviewSerializer(serializers.Serializer):
    """What a month would have cost."""

    example = {"month": "2026-10"}
    month = serializers.CharField()
    book = serializers.UUIDField()
    results = PreviewRowSerializer(many=True)
    gaps = GapSerializer(many=True)


class ClosableSerializer(serializers.Serializer):
    """An organization where the month is open: what its invoices would begin with, before credit and tax. Without an amount
    nothing has a price, and there is no invoice. `error` is why it could not be closed the last time."""

    example = {"name": "Acme", "error": ""}
    organization = serializers.UUIDField()
    name = serializers.CharField()
    amounts = MoneySerializer(many=True)
    error = serializers.CharField()


class ToCloseSerializer(serializers.Serializer):
    """What closing the month would bill. While it `is_over` not, nobody's can be closed."""

    example = {"month": "2026-10", "is_over": True}
    month = serializers.CharField()
    is_over = serializers.BooleanField()
    results = ClosableSerializer(many=True)
    sums = MoneySerializer(many=True)


class CloseSerializer(StrictSerializer):
    """The month, of one `organization` or of all where it is open."""

    example = {"month": "2026-10"}
    month = serializers.CharField(max_length=7)
    organization = VisibleField(Organization, required=False, allow_null=True)


class IssuedSerializer(serializers.Serializer):
    """An invoice that was issued."""

    example = {"number": "INV-2026-000001"}
    id = serializers.UUIDField()
    number = serializers.CharField()
    organization = serializers.UUIDField()
    total = MoneySerializer()


class NotClosedSerializer(serializers.Serializer):
    """An organization whose month could not be closed; what is not closed says why."""

    example = {"name": "Acme"}
    organization = serializers.UUIDField()
    name = serializers.CharField()


class ClosedSerializer(serializers.Serializer):
    """What was issued. So many organizations are `left`: closing again goes on with them."""

    example = {"month": "2026-10", "left": 0}
    month = serializers.CharField()
    invoices = IssuedSerializer(many=True)
    failed = NotClosedSerializer(many=True)
    left = serializers.IntegerField()


class RevenueViewSet(RoomViewSet):
    """Operators' reports of money."""

    queryset = Invoice.objects.all()
    bodies = {"close": CloseSerializer}
    permissions = dict.fromkeys(("months", "receivables", "unbilled", "preview", "to_close", "close"), STAFF)
    answers = {"months": (200, RevenueSerializer), "receivables": (200, ReceivablesSerializer),
               "unbilled": (200, UnbilledSerializer), "preview": (200, PreviewSerializer), "to_close": (200, ToCloseSerializer),
               "close": (200, ClosedSerializer)}
    query_parameters = {"months": ("month", "by"), "preview": ("book", "month", "organization"),
                        "to_close": ("month", "organization")}

    @action(detail=False, methods=["get"])
    def months(self, request: Request) -> Response:
        """Revenue, cost and margin of a `month` (the last one that is over) `by` organization, region, service or meter."""
        by = request.query_params.get("by", "organization")
        if by not in reports.BY:
            raise InvalidInput.field("by", _("One of: {names}.").format(names=", ".join(reports.BY)))
        month, now = _month(request)
        found = remembered(("revenue", str(month), by, get_language()), lambda: reports.revenue(month, by, now=now))
        return Response({"month": str(month), "by": by, "results": [_group(one) for one in found.groups],
                         "sums": [_sums(one) for one in found.sums], "gaps": _gaps(found.gaps)})

    @action(detail=False, methods=["get"])
    def receivables(self, request: Request) -> Response:
        """What organizations owe, by how long it is due."""
        rows = reports.receivables(database_now()).rows
        return Response({"results": [{"organization": row.organization, "name": row.name} | {
            name: _json(amount, row.currency) for name, amount in {**row.ages, "total": row.total}.items()} for row in rows]})

    @action(detail=False, methods=["get"])
    def unbilled(self, request: Request) -> Response:
        """Usage of months that are over and on no invoice, and what runs without a price."""
        now = database_now()
        found = remembered("unbilled", lambda: reports.unbilled(now))
        return Response({
            "results": [{"month": row.month, "organization": row.organization, "name": row.name, "reason": row.reason,
                         "amounts": [one.as_json() for one in row.money], "error": row.error} for row in found.rows],
            "unpriced": [{"region": region, "meter": meter, "sku": sku} for region, meter, sku in found.unpriced]})

    @action(detail=False, methods=["get"])
    def preview(self, request: Request) -> Response:
        """What a `month` (the last one that is over) would have cost under a `book` (the first that is not the default), of one
        `organization` or everybody."""
        month, now = _month(request)
        organization = _row(request, "organization", Organization)
        book = _row(request, "book", PriceBook) or PriceBook.objects.order_by("is_default", "name").first()
        if book is None:
            raise InvalidInput.field("book", _("There is no price book."))
        found = remembered(("book preview", book.pk, str(month), organization and organization.pk),
                           lambda: reports.preview(book, month, now=now, organization=organization))
        return Response({"month": str(month), "book": book.pk, "results": [_preview(row) for row in found.rows],
                         "gaps": _gaps(found.gaps)})

    @action(detail=False, methods=["get"], url_path="closing")
    def to_close(self, request: Request) -> Response:
        """What closing a `month` (the last one that is over) would bill, of one `organization` or of all where it is open."""
        month, now = _month(request)
        found = reports.to_close(month, now=now, organization=_row(request, "organization", Organization))
        return Response({"month": str(month), "is_over": found.is_over, "sums": [one.as_json() for one in found.sums],
                         "results": [{"organization": row.organization, "name": row.name, "error": row.error,
                                      "amounts": [one.as_json() for one in row.money]} for row in found.rows]})

    @to_close.mapping.post
    def close(self, request: Request) -> Response:
        """Close a month: issue its invoices, which cannot be taken back. Again, or where it is closed, nothing is issued."""
        body, now = self.read_body(), database_now()
        month = _named(body["month"], issuing.issuer().time_zone)
        found = closing.close_by_hand(month, organization=body.get("organization"), now=now, actor=request.user,
                                      seconds=CLOSES_FOR_S)
        return Response({"month": str(month), "left": found.left, "invoices": [
            {"id": one.pk, "number": one.number, "organization": one.organization_id, "total": _json(one.total, one.currency)}
            for one in found.invoices], "failed": [{"organization": one.pk, "name": one.name} for one in found.failed]})


def _month(request: Request) -> tuple[Month, Any]:
    """In the issuer's zone, and the time."""
    now, zone = database_now(), issuing.issuer().time_zone
    text = request.query_params.get("month")
    return (_named(text, zone) if text is not None else Month.of(now, zone).previous), now


def _named(text: str, zone: str) -> Month:
    try:
        return Month.named(text, zone)
    except ValueError as error:
        raise InvalidInput.field("month", _("A month like 2026-11.")) from error


def _row(request: Request, name: str, model: type) -> Any:
    if (text := request.query_params.get(name)) is None:
        return None
    try:
        found = model.objects.filter(pk=UUID(text)).first()
    except ValueError:
        found = None
    if found is None:
        raise InvalidInput.field(name, _("There is no such object, or you may not see it."))
    return found


def _json(amount: Decimal | None, currency: str) -> dict[str, str] | None:
    return None if amount is None else Money(amount, currency).as_json()


def _group(one: reports.Group) -> dict[str, Any]:
    return {"key": one.key, "name": one.name} | {
        name: _json(getattr(one, name), one.currency) for name in ("revenue", "open", "before", "cost", "margin")}


def _sums(one: Any) -> dict[str, Any]:
    return {name: one.money(name).as_json() for name in MonthSumsSerializer().fields}


def _gaps(gaps: Any) -> list[dict[str, Any]]:
    return [{"region": gap.region, "meter": gap.meter, "sku": gap.sku,
             "unit_hours": None if gap.unit_hours is None else plain(gap.unit_hours, 0)} for gap in gaps]


def _preview(row: Any) -> dict[str, Any]:
    def money(amounts: dict[str, Decimal]) -> list[dict[str, str]]:
        return [Money(amount, currency).as_json() for currency, amount in amounts.items()]

    return {"organization": row.organization, "name": row.name, "before": money(row.before), "under": money(row.under),
            "discounted": money(row.discounted), "difference": _json(row.difference, row.currency)}
