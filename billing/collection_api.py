"""REST of what is left and what is due: one balance for each organization, and paying in advance."""
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import providers
from billing.invoice_queries import Standings, accounts, billed
from billing.models import Dunning, Rung
from billing.money import Money
from billing.topup_views import begin, reference_of
from portal.kernel.errors import InvalidInput
from portal.kernel.rest.serializers import MoneySerializer, StrictSerializer
from portal.kernel.rest.views import Fetched, RoomViewSet
from portal.kernel.states import database_now
from tenants.models import Organization

VIEW, MANAGE = "invoice.view", "billing.manage"


class DunningSerializer(serializers.Serializer):
    """Where the organization stands on the ladder, and what follows when nobody pays. On the rungs `blocked`, `stopped` and
    `recycled` nothing new is made or started (402)."""

    example = {"rung": "reminder", "cause": "overdue", "next_rung": "blocked"}
    rung = serializers.ChoiceField(choices=Rung.choices)
    cause = serializers.ChoiceField(choices=[("", ""), *Dunning.Cause.choices], help_text="Empty on the ground.")
    began_at = serializers.DateTimeField(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)
    next_rung = serializers.CharField(allow_null=True, help_text="The one above; null where nothing is due.")
    next_at = serializers.DateTimeField(allow_null=True)


class AccountBalanceSerializer(serializers.Serializer):
    """How an organization's account stands. `left`, `hourly` and `lasts_until` are of those alone that live on credit or pay in
    advance: credit and what was paid in advance, less open invoices and what was used since; `lasts_until` is null when nothing
    runs that costs something."""

    example = {"is_prepaid": True, "payment_reference": "MAINS-0123456789AB"}
    organization = serializers.UUIDField()
    is_prepaid = serializers.BooleanField()
    prepaid = MoneySerializer(many=True)
    owed = MoneySerializer(many=True)
    left = MoneySerializer(allow_null=True)
    hourly = MoneySerializer(allow_null=True)
    lasts_until = serializers.DateTimeField(allow_null=True)
    dunning = DunningSerializer()
    payment_reference = serializers.CharField(help_text="To be named when paying by bank.")


class TopUpSerializer(StrictSerializer):
    """How much is paid in advance, in the currency in which the organization pays."""

    example = {"amount": "100.00"}
    amount = serializers.DecimalField(max_digits=14, decimal_places=2)


class GoToSerializer(serializers.Serializer):
    """Where a person goes to pay."""

    example = {"url": "https://pay.example/checkout/1"}
    url = serializers.CharField()


def _standing(row: Dunning) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("rung", "cause", "began_at", "since", "next_at")} | {
        "next_rung": row.next_rung if row.next_at else None}


def _balance(account: Standings) -> dict[str, Any]:
    row, outlook = account.organization, account.outlook
    return AccountBalanceSerializer({
        "organization": row.pk, "is_prepaid": bool(outlook and outlook.balance.is_prepaid),
        "prepaid": [one.as_json() for one in account.prepaid], "owed": [one.as_json() for one in account.owed],
        "left": _money(outlook and outlook.balance.left), "hourly": _money(outlook and outlook.hourly),
        "lasts_until": outlook and outlook.lasts_until, "dunning": _standing(account.dunning or Dunning(organization=row)),
        "payment_reference": reference_of(row)}).data


def _money(found: Money | None) -> dict[str, str] | None:
    return found and found.as_json()


class BalanceViewSet(Fetched, RoomViewSet):
    """How accounts stand; the id is the organization's."""

    queryset = Organization.objects.all()
    serializer_class = AccountBalanceSerializer
    permissions = {"list": VIEW, "retrieve": VIEW, "top_up": MANAGE}
    ordering, ordering_fields = "name", ("name", "created_at")
    bodies = {"top_up": TopUpSerializer}
    answers = {"top_up": (200, GoToSerializer)}

    def list(self, request: Request) -> Response:
        """Of all organizations whose bills the caller may see."""
        rows = self.paginate_queryset(self.filter_queryset(billed(request.user)))
        found = accounts(rows, user=request.user, now=database_now())
        return self.get_paginated_response([_balance(one) for one in found])

    def represent(self, row: Organization) -> dict[str, Any]:
        return _balance(Standings(organization=row, user=self.request.user, now=database_now()))

    @action(detail=True, methods=["post"], url_path="actions/top-up")
    def top_up(self, request: Request, pk: str) -> Response:
        """Begin to pay in advance: the answer says where to go. Nothing is booked before it is paid."""
        if not providers.is_there():
            raise InvalidInput.field("amount", _("Nobody takes payments here: pay by bank."))
        return Response({"url": request.build_absolute_uri(begin(request, self.target, self.read_body()["amount"]))})
