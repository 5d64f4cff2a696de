"""REST of budgets, what became of them, and vouchers. Who sees usage sees the budgets on it; `budget.manage` changes them."""
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import budgets, vouchers
from billing.api import CreditSerializer
from billing.invoice_api import money_of
from billing.models import Budget, BudgetAlarm, Voucher
from portal.kernel.errors import InvalidInput, TooManyRequests
from portal.kernel.rest.projection import project
from portal.kernel.rest.serializers import NameField, StrictSerializer, VisibleField
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from tenants.errors import ProjectArchived
from tenants.models import Organization, Project

VIEW, MANAGE = "usage.view", "budget.manage"
THRESHOLDS = [{"percent": 80, "basis": "actual", "actions": ["notify"]},
              {"percent": 100, "basis": "forecast", "actions": ["notify", "block"]}]


class ThresholdSerializer(StrictSerializer):
    """At so many percent of the amount, spent or to be expected: `notify` who manages the budget, `block` what is new and costs
    something, `stop` what runs. Whoever has things stopped needs `instance.operate` in the place as well."""

    example = THRESHOLDS[0]
    percent = serializers.IntegerField(min_value=1, max_value=budgets.verbs.MOST_PERCENT)
    basis = serializers.ChoiceField(choices=Budget.Basis.choices)
    actions = serializers.ListField(child=serializers.ChoiceField(choices=Budget.Action.choices), min_length=1, max_length=3)


class BudgetSerializer(serializers.ModelSerializer):
    """So much a month of an organization, of a project with what stands below it, or of what bears a tag. `spent` and `forecast`
    (what runs now going on until the month ends) are of `month`, as they were at `counted_at`, before tax and credit."""

    example = {"name": "Team", "project": None, "tag_key": "", "tag_value": "", "thresholds": THRESHOLDS, "month": "2026-11"}
    reads = {name: (name, "currency") for name in ("amount", "spent", "forecast")}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    thresholds = ThresholdSerializer(many=True, read_only=True)
    amount, spent, forecast = (serializers.SerializerMethodField() for _field in range(3))
    get_amount, get_spent, get_forecast = map(money_of, ("amount", "spent", "forecast"))

    class Meta:
        model = Budget
        fields = ("id", "name", "organization", "project", "tag_key", "tag_value", "amount", "thresholds", "spent", "forecast",
                  "month", "counted_at", "created_at", "updated_at")
        read_only_fields = fields


class AlarmSerializer(serializers.ModelSerializer):
    """A threshold was reached, in the month from `since` to `until`, when the budget was `amount`; and what was to be done."""

    example = {"percent": 80, "basis": "actual", "actions": ["notify"]}
    reads = {name: (name, "currency") for name in ("amount", "spent", "forecast")}
    actions = serializers.ListField(child=serializers.CharField(), read_only=True)
    amount, spent, forecast = (serializers.SerializerMethodField() for _field in range(3))
    get_amount, get_spent, get_forecast = map(money_of, ("amount", "spent", "forecast"))

    class Meta:
        model = BudgetAlarm
        fields = ("at", "percent", "basis", "actions", "amount", "spent", "forecast", "since", "until")
        read_only_fields = fields


class AlarmsSerializer(serializers.Serializer):
    """One page of alarms, newest first; `next` leads to the following."""

    example = {"next": None, "previous": None}
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = AlarmSerializer(many=True)


class CreateBudgetSerializer(StrictSerializer):
    """Of `organization`, of it and a tag, or of `project`. Without `thresholds` those who manage it are told of 80 % spent and
    of 100 % to be expected."""

    example = {"name": "Team", "amount": "1000.00", "currency": "CNY", "thresholds": THRESHOLDS}
    organization = VisibleField(Organization, required=False)
    project = VisibleField(Project, MANAGE, required=False, allow_null=True)
    tag_key = serializers.CharField(max_length=60, required=False, allow_blank=True)
    tag_value = serializers.CharField(max_length=200, required=False, allow_blank=True)
    name = NameField()
    amount = serializers.DecimalField(max_digits=14, decimal_places=2)
    currency = serializers.CharField(max_length=3)
    thresholds = ThresholdSerializer(many=True, required=False, max_length=budgets.verbs.MOST_THRESHOLDS)


class ChangeBudgetSerializer(StrictSerializer):
    """What is not named stays as it is; what the budget is of always does."""

    example = {"amount": "2000.00"}
    name = NameField(required=False)
    amount = serializers.DecimalField(max_digits=14, decimal_places=2, required=False)
    currency = serializers.CharField(max_length=3, required=False)
    thresholds = ThresholdSerializer(many=True, required=False, max_length=budgets.verbs.MOST_THRESHOLDS)


class BudgetViewSet(Listed, Fetched, RoomViewSet):
    """How much may be spent a month."""

    queryset = Budget.objects.all()
    serializer_class = BudgetSerializer
    bodies = {"create": CreateBudgetSerializer, "partial_update": ChangeBudgetSerializer}
    answers = {"create": (201, BudgetSerializer), "partial_update": (200, BudgetSerializer), "destroy": (204, None),
               "alarms": (200, AlarmsSerializer)}
    errors = {"create": (ProjectArchived,)}
    permissions = {"list": VIEW, "retrieve": VIEW, "alarms": VIEW, "create": MANAGE, "partial_update": MANAGE,
                   "destroy": MANAGE}
    filters = {"organization": "organization", "tag_key": "tag_key", "tag_value": "tag_value"}
    query_parameters = {"alarms": ("limit", "cursor")}
    ordering_fields = ("created_at", "name")

    def ordering_of(self, request: Request) -> str:
        return "-id" if self.action == "alarms" else super().ordering_of(request)

    def create(self, request: Request) -> Response:
        """Make a budget."""
        values = self.read_body()
        of_project = values.get("project")
        organization = values.pop("organization", None) or (of_project and of_project.organization)
        if organization is None:
            raise InvalidInput.field("organization", _("Name an organization or a project."))
        if of_project is None:
            self.require(MANAGE, organization)
        return self.shown(budgets.create_budget(organization, actor=request.user, **values), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change it; from now on that holds."""
        return self.shown(budgets.change_budget(self.target, actor=request.user, **self.read_body()))

    def destroy(self, request: Request, pk: str) -> Response:
        """Nothing is watched, refused or stopped by it any more."""
        budgets.delete_budget(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["get"])
    def alarms(self, request: Request, pk: str) -> Response:
        """When which threshold was reached, newest first."""
        rows = self.paginate_queryset(BudgetAlarm.objects.filter(budget=self.target))
        return self.get_paginated_response(project(AlarmSerializer, rows, self.get_serializer_context()))


class RedeemSerializer(StrictSerializer):
    """A voucher's code, as it was given to you."""

    example = {"code": "7KQ2M-9X4TB-C0WFR-31ZXY"}
    organization = VisibleField(Organization)
    code = serializers.CharField(max_length=100)


class VoucherViewSet(RoomViewSet):
    """Codes that give credit."""

    queryset = Voucher.objects.all()
    serializer_class = CreditSerializer
    bodies = {"redeem": RedeemSerializer}
    answers = {"redeem": (201, CreditSerializer)}
    errors = {"redeem": (vouchers.VoucherRefused, TooManyRequests)}
    permissions = {"redeem": "billing.manage"}

    @action(detail=False, methods=["post"], url_path="actions/redeem")
    def redeem(self, request: Request) -> Response:
        """Give the organization the voucher's credit, once. Why a code gives nothing is not told."""
        values: dict[str, Any] = self.read_body()
        self.require("billing.manage", values["organization"])
        credit = vouchers.redeem(values["organization"], values["code"], actor=request.user)
        return Response(project(CreditSerializer, [credit], self.get_serializer_context())[0], status=201)
