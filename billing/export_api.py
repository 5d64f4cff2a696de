"""REST of exports: files of the books, links to them, and schedules that make them.

They are of a whole organization: who holds `invoice.view` in all of it sees and asks for them, who holds `billing.manage` there
sees and says where they are brought. The operation behind an export is the hub's and of no project, so it is the export that
tells how far it is.
"""
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.exports import links, schedules
from billing.exports.errors import TooManyExports, TooManyExportsToday
from billing.exports.verbs import request_export
from billing.models import Export, ExportSchedule
from billing.models.exports import Format, What
from portal.kernel.errors import QuotaExceeded, StateConflict
from portal.kernel.rest.serializers import NameField, OperationErrorSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from tenants.models import Organization
from tenants.webhooks.addresses import LONGEST
from tenants.webhooks.api import AttemptSerializer, ListedForAdministrators

VIEW, MANAGE = "invoice.view", "billing.manage"
EXAMPLE = {"what": "focus", "format": "csv", "first_month": "2026-10", "last_month": "2026-10"}
SCHEDULED = {"name": "warehouse", "what": "focus", "format": "json", "every": "month", "url": "https://bills.example.org/mains",
             "method": "PUT"}


class ExportSerializer(serializers.ModelSerializer):
    """A file of the months from `first_month` to `last_month`. `state`: writing, ready, failed, removed (it was too old).
    `attempts` are tries to bring it where its schedule says."""

    example = {**EXAMPLE, "columns": [], "state": "ready", "progress": 100, "rows": 12_345, "size": 4_567_890,
               "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "error": None, "schedule": None,
               "delivery": "none", "attempts": []}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    schedule = serializers.UUIDField(source="schedule_id", read_only=True, allow_null=True)
    columns = serializers.ListField(child=serializers.CharField(), read_only=True)
    rows = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True, help_text="Bytes.")
    error = OperationErrorSerializer(read_only=True, allow_null=True)
    attempts = serializers.ListField(child=AttemptSerializer(), read_only=True)
    next_at = serializers.DateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Export
        fields = ("id", "organization", "what", "format", "columns", "first_month", "last_month", "state", "progress", "rows",
                  "size", "sha256", "error", "schedule", "delivery", "attempts", "next_at", "created_at", "finished_at")
        read_only_fields = fields


class CreateExportSerializer(StrictSerializer):
    """`last_month` is `first_month` when it is not given; all columns, unless some are named."""

    example = EXAMPLE
    organization = VisibleField(Organization)
    what = serializers.ChoiceField(choices=What.choices)
    format = serializers.ChoiceField(choices=Format.choices)
    first_month = serializers.CharField(max_length=7)
    last_month = serializers.CharField(max_length=7, required=False)
    columns = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=60)


class LinkSerializer(serializers.Serializer):
    """Whoever has the address may fetch the file with it, for an hour."""

    example = {"url": "https://mains.example.org/exports/0b9c3bbf-8cf1-4c8b-8d7d-5f0f6f0f7d5a/download/?signature=…",
               "seconds": 3600}
    url = serializers.CharField()
    seconds = serializers.IntegerField(help_text="How long it is good.")


class ExportViewSet(Listed, Fetched, RoomViewSet):
    """Files of the books."""

    queryset = Export.objects.all()
    serializer_class = ExportSerializer
    bodies = {"create": CreateExportSerializer}
    permissions = dict.fromkeys(("list", "retrieve", "create", "link"), VIEW)
    answers = {"create": (201, ExportSerializer), "link": (200, LinkSerializer)}
    errors = {"create": (TooManyExports, TooManyExportsToday), "link": (StateConflict,)}
    secret_fields = ("url",)
    filters = {"organization": "organization", "state": "state", "what": "what", "format": "format", "schedule": "schedule",
               "delivery": "delivery"}

    def create(self, request: Request) -> Response:
        """Ask for a file. It is written in the background: read it again until `state` is `ready`."""
        values = self.read_body()
        organization = values.pop("organization")
        self.require(VIEW, organization)
        return self.shown(request_export(organization, actor=request.user, **values), status=201)

    @action(detail=True, methods=["post"], url_path="actions/link")
    def link(self, request: Request, pk: str) -> Response:
        """An address at which the file can be fetched without signing in, for an hour."""
        return Response({"url": settings.SITE_URL + links.make_link(self.target, actor=request.user),
                         "seconds": links.GOOD_FOR_S})


class ExportScheduleSerializer(serializers.ModelSerializer):
    """A file that is made every day or week (of the month so far), or of every month after it was closed, and brought to `url` or
    into `folder`."""

    example = {**SCHEDULED, "folder": "", "state": "enabled"}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    url = serializers.CharField(source="shown_url", read_only=True, help_text="Without its path, which may carry a secret.")

    class Meta:
        model = ExportSchedule
        fields = ("id", "organization", "name", "what", "format", "every", "url", "method", "folder", "state", "next_at",
                  "created_at", "updated_at")
        read_only_fields = fields


class NewExportScheduleSerializer(ExportScheduleSerializer):
    """The only answer that carries the secret, by which the receiver checks signatures; null for a folder."""

    example = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw…"}
    secret = serializers.CharField(read_only=True, allow_null=True)

    class Meta(ExportScheduleSerializer.Meta):
        fields = (*ExportScheduleSerializer.Meta.fields, "secret")
        read_only_fields = fields


class CreateExportScheduleSerializer(StrictSerializer):
    """Either `url` or `folder`."""

    example = SCHEDULED
    organization = VisibleField(Organization)
    name = NameField()
    what = serializers.ChoiceField(choices=What.choices)
    format = serializers.ChoiceField(choices=Format.choices)
    every = serializers.ChoiceField(choices=ExportSchedule.Every.choices)
    url = serializers.CharField(max_length=LONGEST, required=False)
    method = serializers.ChoiceField(choices=ExportSchedule.Method.choices, required=False)
    folder = serializers.CharField(max_length=60, required=False)


class ChangeExportScheduleSerializer(StrictSerializer):
    """What is not named stays as it is."""

    example = {"enabled": False}
    name = NameField(required=False)
    format = serializers.ChoiceField(choices=Format.choices, required=False)
    url = serializers.CharField(max_length=LONGEST, required=False)
    method = serializers.ChoiceField(choices=ExportSchedule.Method.choices, required=False)
    folder = serializers.CharField(max_length=60, required=False)
    enabled = serializers.BooleanField(required=False)


class ExportScheduleViewSet(ListedForAdministrators, Fetched, RoomViewSet):
    """Exports that are made by themselves."""

    queryset = ExportSchedule.objects.all()
    serializer_class = ExportScheduleSerializer
    bodies = {"create": CreateExportScheduleSerializer, "partial_update": ChangeExportScheduleSerializer}
    answers = {"create": (201, NewExportScheduleSerializer), "partial_update": (200, ExportScheduleSerializer),
               "destroy": (204, None)}
    errors = {"create": (QuotaExceeded,)}
    permissions = dict.fromkeys(("list", "retrieve"), VIEW) | dict.fromkeys(("create", "partial_update", "destroy"), MANAGE)
    secret_fields = ("secret",)
    filters = {"organization": "organization", "state": "state", "every": "every"}
    ordering_fields = ("created_at",)

    def create(self, request: Request) -> Response:
        """Make a schedule. `secret` is in this answer only."""
        values = self.read_body()
        organization = values.pop("organization")
        self.require(MANAGE, organization)
        schedule, secret = schedules.create_schedule(organization, actor=request.user, **values)
        return self.shown(schedule, status=201, secret=secret or None)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change it; disabled, nothing is made any more."""
        values: dict[str, Any] = self.read_body()
        return self.shown(schedules.change_schedule(self.target, actor=request.user, **values))

    def destroy(self, request: Request, pk: str) -> Response:
        """No further file is made; those that there are stay."""
        schedules.delete_schedule(self.target, actor=request.user)
        return Response(status=204)
