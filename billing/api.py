"""REST: what was used and what it costs (`usage/`), and the list prices (`prices/`). Read-only."""
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from billing import credit, rating, trees
from billing.models import Credit, Price, UsageInterval
from billing.money import Money, plain, together
from portal.kernel.declarations import registry
from portal.kernel.errors import Forbidden, InvalidInput
from portal.kernel.rest.filters import MOST_VALUES, convert, field_at, moment
from portal.kernel.rest.pagination import limit_of
from portal.kernel.rest.serializers import MoneySerializer
from portal.kernel.rest.views import SIGNED_IN, Fetched, Listed, RoomViewSet
from portal.kernel.states import database_now
from tenants.access import projects_ever
from tenants.models import Project

GROUPS = ("project", "meter", "day", "resource")
TREE = "tree"
LONGEST_TAG, MOST_GROUPS, MOST_BALANCES = 60, 8, 100


class UsedSerializer(serializers.Serializer):
    """Which resource; it may be deleted by now."""

    example = {"type": "instance"}
    type = serializers.CharField()
    id = serializers.UUIDField()
    name = serializers.CharField()


class UsageSerializer(serializers.Serializer):
    """One interval, cut to `start` and `end` when given; or, with `group_by`, one sum with the groups asked for.

    `quantity` counts `unit`s. `end` is null while it runs; the amount is then what it costs until now.
    """

    example = {"meter": "instance.running", "sku": "small", "unit": "h", "quantity": "12.345", "end": None}
    id = serializers.UUIDField(required=False)
    resource = UsedSerializer(required=False)
    project = serializers.UUIDField(required=False)
    meter = serializers.CharField(required=False)
    sku = serializers.CharField(required=False)
    day = serializers.DateField(required=False)
    tags = serializers.DictField(required=False, child=serializers.CharField(allow_null=True))
    unit = serializers.CharField(allow_null=True)
    quantity = serializers.CharField()
    start = serializers.DateTimeField(required=False)
    end = serializers.DateTimeField(required=False, allow_null=True)
    amount = MoneySerializer()


class UsageViewSet(RoomViewSet):
    """What the caller's projects used."""

    queryset = UsageInterval.objects.all()
    serializer_class = UsageSerializer
    permissions = {"list": "usage.view"}
    filters = {"resource": "resource", "meter": "meter", "sku": "sku"}
    query_parameters = {"list": ("start", "end", "group_by", "below")}
    ordering_fields = ("start",)
    ordering = "-start"

    def list(self, request: Request) -> Response:
        """One row per interval, newest first; `group_by=project,meter,day,resource,tag:<name>` sums them. With
        `below`, a project, `group_by=tree` is the sum, by currency, of it and all that stood below it, whatever moved;
        `group_by=project` is each of them."""
        now = database_now()
        period = {"start": moment(request, "start"), "end": moment(request, "end") or now, "now": now}
        if "below" in request.query_params:
            return Response(self.tree(request, period))
        groups = groups_of(request)
        found = self.sums(request, groups, period) if groups else self.intervals(period)
        return Response(found)

    def intervals(self, period: dict[str, datetime | None]) -> dict[str, object]:
        start, cut = period["start"], min(period["end"], period["now"])
        rows = self.filter_queryset(self.get_queryset())
        rows = rows.filter(period__overlap=DateTimeTZRange(start, cut)) if start is None or start < cut else rows.none()
        page = self.paginate_queryset(rows)
        lines = rating.lines(rating.Selection(projects=None, intervals=[row.pk for row in page]), **period)
        shown = self.serializer_class(_by_interval(page, lines), many=True)
        return self.get_paginated_response(shown.data).data

    def sums(self, request: Request, groups: Sequence[str], period: dict[str, datetime | None]) -> dict[str, object]:
        limit, offset = limit_of(request), _offset(request)
        found = rating.totals(asked_selection(self, request), groups, **period, limit=limit, offset=offset)
        more = replace_query_param(request.build_absolute_uri(), "cursor", offset + limit)
        before = replace_query_param(request.build_absolute_uri(), "cursor", max(0, offset - limit))
        return {"next": more if found.count > offset + limit else None, "previous": before if offset else None,
                "results": self.serializer_class([_sum(total) for total in found.totals], many=True).data}

    def tree(self, request: Request, period: dict[str, datetime | None]) -> dict[str, object]:
        """Nothing for a project that is hidden or absent; what is below it as far as the caller sees it."""
        if (how := request.query_params.get("group_by", TREE)) not in (TREE, "project"):
            raise InvalidInput.field("group_by", _("With `below`: tree or project."))
        if unused := sorted(set(self.all_filters()) & request.query_params.keys()):
            raise InvalidInput.field(unused[0], _("Not together with `below`."))
        pk = convert(field_at(UsageInterval, "project"), "below", request.query_params["below"])
        seen = None if request.user.grants.sees_everything else projects_ever(request.user, "usage.view")
        project = Project.objects.filter(pk=pk).first() if seen is None or pk in seen else None
        totals = trees.used_in_tree(project, start=period["start"] or project.created_at, end=period["end"],
                                    now=period["now"], seen=seen) if project else []
        rows = _tree(project, totals) if how == TREE and project is not None else [
            _sum(total) for total in sorted(totals, key=lambda total: (total.currency, -total.amount, str(total.project.id)))]
        return {"next": None, "previous": None, "results": self.serializer_class(rows, many=True).data}


class PriceSerializer(serializers.ModelSerializer):
    """What one unit of a meter costs an hour in a region."""

    example = {"meter": "instance.running", "sku": "small", "unit": "h", "valid_until": None}
    region = serializers.UUIDField(source="region_id", read_only=True)
    unit = serializers.SerializerMethodField()
    price_per_hour = serializers.SerializerMethodField()
    valid_from = serializers.DateTimeField(source="valid.lower", read_only=True)
    valid_until = serializers.DateTimeField(source="valid.upper", read_only=True, allow_null=True)

    class Meta:
        model = Price
        fields = ("id", "region", "meter", "sku", "unit", "price_per_hour", "valid_from", "valid_until")
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_unit(self, price: Price) -> str:
        declared = registry.meters.get(price.meter)
        return str(declared.price_unit) if declared else ""

    @extend_schema_field(MoneySerializer)
    def get_price_per_hour(self, price: Price) -> dict[str, str]:
        return Money(price.price_per_hour, price.book.currency).as_json()


class PriceViewSet(Listed, Fetched, RoomViewSet):
    """The list prices."""

    queryset = Price.objects.select_related("book")
    serializer_class = PriceSerializer
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN}
    filters = {"meter": "meter", "sku": "sku"}
    query_parameters = {"list": ("at",)}
    ordering_fields = ("sku", "meter")
    ordering = "sku"

    def list(self, request: Request) -> Response:
        """The prices that hold now, or at `at`."""
        self.queryset = self.queryset.at(moment(request, "at") or database_now())
        return super().list(request)


class CreditSerializer(serializers.ModelSerializer):
    """So much was given to an organization to spend: on everything, or on those `meters` or in that `region` alone."""

    example = {"reason": "Trial credit", "meters": [], "region": None}

    organization = serializers.UUIDField(source="organization_id", read_only=True)
    region = serializers.UUIDField(source="region_id", read_only=True, allow_null=True)
    meters = serializers.ListField(child=serializers.CharField(), read_only=True)
    amount = serializers.SerializerMethodField()

    class Meta:
        model = Credit
        fields = ("id", "organization", "amount", "meters", "region", "reason", "expires_at", "created_at")
        read_only_fields = fields

    @extend_schema_field(MoneySerializer)
    def get_amount(self, row: Credit) -> dict[str, str]:
        return Money(row.amount, row.currency).as_json()


class RestSerializer(serializers.Serializer):
    """What is left of a credit that pays for some usage alone."""

    credit = serializers.UUIDField(source="credit.pk")
    meters = serializers.ListField(source="credit.meters", child=serializers.CharField())
    region = serializers.UUIDField(source="credit.region_id", allow_null=True)
    left = MoneySerializer(source="money.as_json")
    expires_at = serializers.DateTimeField(source="credit.expires_at", allow_null=True)


class BalanceSerializer(serializers.Serializer):
    """What is left of an organization's credit: granted and not expired, less what was used since. `scoped` credit pays for some
    usage alone, and counts in `granted` as far as it paid."""

    organization = serializers.UUIDField(source="organization.pk")
    granted = MoneySerializer(source="granted.as_json")
    used = MoneySerializer(source="used.as_json")
    left = MoneySerializer(source="left.as_json")
    expires_at = serializers.DateTimeField(allow_null=True)
    scoped = RestSerializer(many=True)


class BalancesSerializer(serializers.Serializer):
    results = BalanceSerializer(many=True)


class CreditViewSet(Listed, Fetched, RoomViewSet):
    """What organizations were given to spend."""

    queryset = Credit.objects.all()
    serializer_class = CreditSerializer
    permissions = {"list": "usage.view", "retrieve": "usage.view", "left": "usage.view"}
    filters = {"organization": "organization"}
    answers = {"left": (200, BalancesSerializer)}

    def searched(self) -> tuple[str, ...]:
        return ()

    @action(detail=False, methods=["get"])
    def left(self, request: Request) -> Response:
        """What is left now, of every organization with credit that the caller sees."""
        if not self.may_anywhere("usage.view"):
            raise Forbidden(permission="usage.view")
        rows = self.get_queryset().select_related("organization").order_by("organization_id").distinct("organization_id")
        found = credit.balances([row.organization for row in rows[:MOST_BALANCES]], now=database_now())
        return Response(BalancesSerializer({"results": found}).data)


def groups_of(request: Request) -> list[str]:
    """The groups asked for, each once; raises InvalidInput for others."""
    text = request.query_params.get("group_by")
    if text is None:
        return []
    groups = list(dict.fromkeys(text.split(",")))
    for name in groups:
        tag = name.removeprefix(rating.TAG)
        if name not in GROUPS and not (tag != name and 1 <= len(tag) <= LONGEST_TAG):
            raise InvalidInput.field("group_by", _("Some of {groups}, or tag:<name>.").format(groups=", ".join(GROUPS)))
    if len(groups) > MOST_GROUPS:
        raise InvalidInput.field("group_by", _("At most {most} groups.").format(most=MOST_GROUPS))
    return groups


def asked_selection(view: RoomViewSet, request: Request) -> rating.Selection:
    """The view's filters of usage, within what the caller may see."""
    asked = {f"{name}s": [convert(field_at(UsageInterval, path), name, text)
                          for text in request.query_params.getlist(name)[:MOST_VALUES]]
             for name, path in view.all_filters().items() if name in request.query_params}
    if not request.user.grants.sees_everything:
        mine = projects_ever(request.user, "usage.view")
        asked["projects"] = mine.intersection(asked["projects"]) if "projects" in asked else mine
    return rating.Selection(**{"projects": None, **asked})


def _offset(request: Request) -> int:
    text = request.query_params.get("cursor", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidInput.field("cursor", _("This is no cursor of this list in this ordering."))
    return int(text)


def _by_interval(page: list[UsageInterval], lines: list[rating.Line]) -> list[dict[str, object]]:
    """Lines of one interval (one per price version) as one row."""
    of_interval: dict[object, list[rating.Line]] = {}
    for line in lines:
        of_interval.setdefault(line.interval, []).append(line)
    return [_interval(of_interval[row.pk]) for row in page if row.pk in of_interval]


def _interval(lines: list[rating.Line]) -> dict[str, object]:
    last = lines[0]  # newest first
    return {"id": last.interval, "resource": last.resource, "project": last.project.id, "meter": last.meter,
            "sku": last.sku, "unit": last.unit, "quantity": plain(sum(line.quantity for line in lines), 0),
            "start": lines[-1].start, "end": last.end,
            "amount": Money(sum(line.amount for line in lines), last.currency).as_json()}


def _tree(project: Project, totals: Iterable[rating.Total]) -> list[dict[str, object]]:
    """A row for each currency; one of nothing where nothing was used."""
    used: dict[str, Decimal] = {}
    for total in totals:
        used[total.currency] = used.get(total.currency, Decimal(0)) + total.quantity
    sums = together(total.money for total in totals) or [Money(Decimal(0), rating.currency())]
    return [{"project": project.pk, "unit": None, "quantity": plain(used.get(one.currency, Decimal(0)), 0),
             "amount": one.as_json()} for one in sums]


def _sum(total: rating.Total) -> dict[str, object]:
    row = {"resource": total.resource, "project": total.project and total.project.id, "meter": total.meter,
           "day": total.day, "tags": dict(total.tags) or None}
    return {name: value for name, value in row.items() if value is not None} | {
        "unit": total.unit, "quantity": plain(total.quantity, 0), "amount": total.money.as_json()}
