"""REST of costs (`costs/`): what a month costs and where it goes, what was unusual yesterday, and what is idle. Read-only."""
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api import UsedSerializer, asked_selection
from billing.costs import month_asked
from billing.costs.anomalies import Anomaly, anomalies
from billing.costs.explorer import Question, charts, checked, outlooks, sheets
from billing.costs.idle import Idle, idle
from billing.models import UsageInterval
from billing.money import Money
from portal.kernel.errors import Forbidden, InvalidInput
from portal.kernel.rest.pagination import limit_of
from portal.kernel.rest.serializers import MoneySerializer
from portal.kernel.rest.views import RoomViewSet
from portal.kernel.states import database_now

VIEW = "usage.view"


class CostPartSerializer(serializers.Serializer):
    """What belongs together. `key` is the id of a project or resource, the name of a service or meter, or a tag's value
    (null: without it)."""

    example = {"key": "Instances", "name": "Instances"}
    key = serializers.CharField(allow_null=True)
    name = serializers.CharField(source="label")
    amount = MoneySerializer(source="amount.as_json")


class CostDaySerializer(serializers.Serializer):
    """A day of UTC; the first and last of a month may be a part of one."""

    example = {"day": "2026-11-03"}
    day = serializers.DateField()
    amount = MoneySerializer(source="total.as_json")


class CostSerializer(serializers.Serializer):
    """A month in one currency, before tax and credits: so far, what it comes to if nothing changes (null: it is over), and the
    month before; its dearest parts, what all others come to (null: there are none), and its days."""

    example = {"month": "2026-11", "currency": "CNY"}
    month = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    currency = serializers.CharField()
    so_far = MoneySerializer()
    forecast = MoneySerializer(allow_null=True)
    last_month = MoneySerializer()
    parts = CostPartSerializer(many=True)
    rest = MoneySerializer(allow_null=True)
    days = CostDaySerializer(many=True)


class GrownSerializer(serializers.Serializer):
    """A resource, and by how much more it cost than on the mean of the days before."""

    resource = UsedSerializer()
    amount = MoneySerializer(source="by.as_json")


class AnomalySerializer(serializers.Serializer):
    """A service in a project cost `amount` on the day, where `usual` is usual: the median of the fourteen days before."""

    example = {"day": "2026-11-28", "service": "Instances", "times": "3.4"}
    day = serializers.DateField()
    project = serializers.UUIDField(source="project.id")
    service = serializers.CharField()
    amount = MoneySerializer(source="amount.as_json")
    usual = MoneySerializer(source="usual.as_json")
    times = serializers.SerializerMethodField()
    resources = GrownSerializer(source="grown", many=True)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_times(self, row: Anomaly) -> str | None:
        """How many times the usual; null where usually nothing is paid."""
        return None if row.times is None else str(row.times)


class AnomaliesSerializer(serializers.Serializer):
    results = AnomalySerializer(many=True)


class IdleSerializer(serializers.Serializer):
    """Something that costs and serves nobody since then: by which rule, and what it costs in a month of 730 hours."""

    example = {"rule": "volume.detached", "reason": "Not attached", "hint": "Delete the volume if nobody needs what is on it."}
    resource = UsedSerializer()
    project = serializers.UUIDField(source="project.id")
    rule = serializers.CharField(source="rule.name")
    reason = serializers.SerializerMethodField()
    hint = serializers.SerializerMethodField()
    since = serializers.DateTimeField()
    monthly = MoneySerializer(source="monthly.as_json")

    def get_reason(self, row: Idle) -> str:
        return str(row.rule.label)

    def get_hint(self, row: Idle) -> str:
        return str(row.rule.hint)


class IdlesSerializer(serializers.Serializer):
    results = IdleSerializer(many=True)
    saving = MoneySerializer(many=True)


class CostViewSet(RoomViewSet):
    """What the caller's projects cost."""

    queryset = UsageInterval.objects.all()
    serializer_class = CostSerializer
    permissions = {"list": VIEW, "anomalies": VIEW, "idle": VIEW}
    filters = {"meter": "meter"}
    query_parameters = {"list": ("month", "by"), "anomalies": ("project",), "idle": ("project",)}
    answers = {"anomalies": (200, AnomaliesSerializer), "idle": (200, IdlesSerializer)}
    ordering_fields = ()
    ordering = ""

    def list(self, request: Request) -> Response:
        """A month of the issuer (`month=2026-11`, else this one), one row for each currency, divided into its `limit` dearest
        parts by `by`: service, project, meter, resource or tag:<name>."""
        self.refuse_pages(request)
        now = database_now()
        question = Question(selection=asked_selection(self, request), now=now, month=month_asked(
            request.query_params.get("month"), now))
        rows = _months(question, checked(request.query_params.get("by", "service")), limit_of(request))
        return Response({"next": None, "previous": None, "results": self.serializer_class(rows, many=True).data})

    def refuse_pages(self, request: Request) -> None:
        """There is one page, in one order."""
        for name in ("cursor", "ordering"):
            if name in request.query_params:
                raise InvalidInput.field(name, _("Unknown query parameter."))

    @action(detail=False, methods=["get"])
    def anomalies(self, request: Request) -> Response:
        """What cost at least three times the usual yesterday, by project and service."""
        self.require_somewhere()
        found = anomalies(asked_selection(self, request), database_now())
        return Response(AnomaliesSerializer({"results": found}).data)

    @action(detail=False, methods=["get"])
    def idle(self, request: Request) -> Response:
        """What costs and serves nobody, dearest first, and what a month costs less without it."""
        self.require_somewhere()
        found = idle(asked_selection(self, request).projects, database_now())
        return Response(IdlesSerializer({"results": found.rows, "saving": [one.as_json() for one in found.saving]}).data)

    def require_somewhere(self) -> None:
        if not self.may_anywhere(VIEW):
            raise Forbidden(permission=VIEW)


def _months(question: Question, by: str, limit: int) -> list[dict[str, Any]]:
    """The month's parts, outlook and days of each currency together."""
    month, found = question.month, {}
    for outlook in outlooks(question):
        found[outlook.before.currency] = {"last_month": outlook.before.as_json(),
                                          "forecast": outlook.expected and outlook.expected.as_json()}
    for sheet in sheets(question, by, top=limit):
        found.setdefault(sheet.so_far.currency, {}).update(
            so_far=sheet.so_far.as_json(), parts=sheet.parts, rest=sheet.rest and sheet.rest.as_json())
    for chart in charts(question, by):
        found.setdefault(chart.currency, {})["days"] = chart.days
    whole = {"month": str(month), "start": month.start, "end": month.end}
    return [whole | {"currency": currency} | _nothing(currency, question) | row for currency, row in sorted(found.items())]


def _nothing(currency: str, question: Question) -> dict[str, Any]:
    """What a month says of a currency in which nothing was used yet, as when only the month before was paid in it."""
    nothing = Money(Decimal(0), currency).as_json()
    return {"so_far": nothing, "last_month": nothing, "forecast": nothing if question.now < question.month.end else None,
            "parts": (), "rest": None, "days": ()}
