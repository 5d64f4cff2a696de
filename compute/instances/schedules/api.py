"""REST of schedules of instances. Who sees instances sees their schedules; `instance.operate` makes and changes them."""
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances.models import Instance, InstanceSchedule, ScheduleRun
from compute.instances.schedules import cron, verbs
from portal.kernel.errors import QuotaExceeded
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.projection import project
from portal.kernel.rest.serializers import NameField, OperationErrorSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from portal.kernel.states import database_now
from tenants.api import VisibleProject
from tenants.errors import ProjectArchived

VIEW, MANAGE = verbs.VIEW, verbs.MANAGE
EXAMPLE = {"name": "nights off", "verb": "stop", "instance": None, "tag_key": "env", "tag_value": "test", "cron": "0 20 * * 1-5",
           "time_zone": "Asia/Shanghai"}
NOW = "now of schedules"
MOMENTS = serializers.ListField(child=serializers.DateTimeField())


class InstanceScheduleSerializer(serializers.ModelSerializer):
    """At the moments of `cron` in `time_zone`, `verb` is done to `instance`, or to all instances of the project with the tag; in
    the name of `owner`, who saved it last. `next_runs` are five moments; none while it is disabled."""

    example = {**EXAMPLE, "state": "enabled", "next_runs": ["2026-12-01T12:00:00Z"]}
    reads = {"next_runs": ("state", "cron", "time_zone")}
    project = serializers.UUIDField(source="project_id", read_only=True)
    instance = serializers.UUIDField(source="instance_id", read_only=True, allow_null=True)
    owner = serializers.UUIDField(source="owner_id", read_only=True, allow_null=True)
    next_runs = serializers.SerializerMethodField()

    class Meta:
        model = InstanceSchedule
        fields = ("id", "project", "name", "verb", "instance", "tag_key", "tag_value", "cron", "time_zone", "state", "owner",
                  "next_runs", "created_at", "updated_at")
        read_only_fields = fields

    def prepare(self, rows: list[Any]) -> None:
        self.context[NOW] = database_now()

    @extend_schema_field(MOMENTS)
    def get_next_runs(self, row: Any) -> list[datetime]:
        """From now on: the moment that it waits for may be long over, in a suspended organization or during maintenance."""
        if row.state != InstanceSchedule.State.ENABLED:
            return []
        return cron.upcoming(row.cron, row.time_zone, self.context[NOW])


class CreateInstanceScheduleSerializer(StrictSerializer):
    """Of one `instance`, or of all with the tag (with any value of it, when `tag_value` is not given)."""

    example = {name: value for name, value in EXAMPLE.items() if name != "instance"}
    project = VisibleProject(MANAGE)
    name = NameField()
    verb = serializers.ChoiceField(choices=InstanceSchedule.Verb.choices)
    instance = VisibleField(Instance, MANAGE, required=False, allow_null=True)
    tag_key = serializers.CharField(max_length=60, required=False, allow_blank=True)
    tag_value = serializers.CharField(max_length=200, required=False, allow_blank=True)
    cron = serializers.CharField(max_length=cron.LONGEST)
    time_zone = serializers.CharField(max_length=60, required=False)


class ChangeInstanceScheduleSerializer(StrictSerializer):
    """What is not named stays as it is; a tag takes the place of an instance, and the other way round."""

    example = {"enabled": False}
    name = NameField(required=False)
    verb = serializers.ChoiceField(choices=InstanceSchedule.Verb.choices, required=False)
    instance = VisibleField(Instance, MANAGE, required=False, allow_null=True)
    tag_key = serializers.CharField(max_length=60, required=False, allow_blank=True)
    tag_value = serializers.CharField(max_length=200, required=False, allow_blank=True)
    cron = serializers.CharField(max_length=cron.LONGEST, required=False)
    time_zone = serializers.CharField(max_length=60, required=False)
    enabled = serializers.BooleanField(required=False)


class MomentsSerializer(StrictSerializer):
    example = {name: EXAMPLE[name] for name in ("cron", "time_zone")}
    cron = serializers.CharField(max_length=cron.LONGEST)
    time_zone = serializers.CharField(max_length=60, required=False, default="UTC")


class NextRunsSerializer(serializers.Serializer):
    next_runs = MOMENTS


class OutcomeSerializer(serializers.Serializer):
    """What became of one instance: `accepted` with its operation, `unchanged` (it was so already), or `refused` and why."""

    example = {"instance": id_of("instance"), "name": "web-1", "outcome": "accepted", "operation": id_of("operation"),
               "error": None}
    instance = serializers.UUIDField()
    name = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["accepted", "unchanged", "refused"])
    operation = serializers.UUIDField(allow_null=True)
    error = OperationErrorSerializer(allow_null=True)


class RunSerializer(serializers.ModelSerializer):
    """`state`: running, done, refused (`reason`: owner_left, no_right, instance_gone) or missed (too_late)."""

    example = {"state": "done", "reason": "", "results": [OutcomeSerializer.example]}
    results = serializers.ListField(child=OutcomeSerializer(), read_only=True)

    class Meta:
        model = ScheduleRun
        fields = ("id", "due_at", "created_at", "state", "reason", "results")
        read_only_fields = fields


class RunsSerializer(serializers.Serializer):
    """One page of runs, newest first; `next` leads to the following."""

    example = {"next": None, "previous": None}
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = RunSerializer(many=True)


class InstanceScheduleViewSet(Listed, Fetched, RoomViewSet):
    """What is done to instances by the clock."""

    queryset = InstanceSchedule.objects.all()
    serializer_class = InstanceScheduleSerializer
    bodies = {"create": CreateInstanceScheduleSerializer, "partial_update": ChangeInstanceScheduleSerializer,
              "preview": MomentsSerializer}
    answers = {"create": (201, InstanceScheduleSerializer), "partial_update": (200, InstanceScheduleSerializer),
               "destroy": (204, None), "runs": (200, RunsSerializer), "preview": (200, NextRunsSerializer)}
    errors = {"create": (QuotaExceeded, ProjectArchived)}
    permissions = dict.fromkeys(("list", "retrieve", "runs"), VIEW) | dict.fromkeys(
        ("create", "partial_update", "destroy", "preview"), MANAGE)
    filters = {"state": "state", "verb": "verb", "instance": "instance", "tag_key": "tag_key"}
    query_parameters = {"runs": ("limit", "cursor")}
    ordering_fields = ("created_at",)

    def create(self, request: Request) -> Response:
        """Make a schedule. It acts in your name, with the rights that you have then."""
        values = self.read_body()
        return self.shown(verbs.create_schedule(values.pop("project"), actor=request.user, **values), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change it, or disable and enable it; from now on it acts in your name."""
        return self.shown(verbs.change_schedule(self.target, actor=request.user, **self.read_body()))

    def destroy(self, request: Request, pk: str) -> Response:
        """Nothing is done by it any more, and the log of its runs goes with it."""
        verbs.delete_schedule(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["get"])
    def runs(self, request: Request, pk: str) -> Response:
        """What became of its runs, newest first."""
        rows = self.paginate_queryset(ScheduleRun.objects.filter(schedule=self.target))
        return self.get_paginated_response(project(RunSerializer, rows, self.get_serializer_context()))

    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """When an expression is due next, five times; nothing is made."""
        values, now = self.read_body(), database_now()
        cron.check(values["cron"], values["time_zone"], now)
        return Response({"next_runs": cron.upcoming(values["cron"], values["time_zone"], now)})
