"""How measurements look in the API, wherever the thing that was measured has its address."""
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

from compute.monitoring.reading import Point, Question, read
from portal.kernel.errors import InvalidInput
from portal.kernel.rest.filters import moment
from portal.kernel.states import database_now

PARAMETERS = ("from", "to", "step")
RATES = tuple(name for name in Point._fields if name.startswith(("disk", "network")))


class PointSerializer(serializers.Serializer):
    """One step, by its begin. Null: not known, or nothing was measured. Bytes, operations and packets are means a second."""

    at = serializers.DateTimeField()
    cpu_percent = serializers.FloatField(allow_null=True, help_text="Of all vCPUs together.")
    memory_bytes = serializers.IntegerField(allow_null=True, help_text="Its size; the most in the step, as below.")
    memory_used_bytes = serializers.IntegerField(allow_null=True, help_text="What the guest says that it uses.")
    memory_host_bytes = serializers.IntegerField(allow_null=True, help_text="What it holds of its host's memory.")
    vars().update({name: serializers.FloatField(allow_null=True) for name in RATES})


class MetricsSerializer(serializers.Serializer):
    """The points that there are, oldest first; of times without any, nothing was measured."""

    example = {"step": 60}
    vars()["from"] = serializers.DateTimeField()
    to = serializers.DateTimeField()
    step = serializers.IntegerField(help_text="Seconds.")
    points = PointSerializer(many=True)


def metrics(domain: UUID, request: Request) -> dict[str, Any]:
    """What was measured of a domain, as the query asks. Raises InvalidInput."""
    question = Question.of(moment(request, "from"), moment(request, "to"), _step(request), now=database_now())
    points = [point._asdict() for point in read(domain, question)]
    return MetricsSerializer({"from": question.start, "to": question.end, "step": question.step_s, "points": points}).data


def _step(request: Request) -> int | None:
    text = request.query_params.get("step")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput.field("step", _("A number of seconds."))
    return int(text)
