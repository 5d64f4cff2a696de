"""REST of webhooks: the receivers, and the log of what was sent to them."""
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.errors import InvalidInput, QuotaExceeded, StateConflict
from portal.kernel.rest.serializers import NameField, StrictSerializer, VisibleField
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from tenants.models import Organization, Project
from tenants.webhooks import operations
from tenants.webhooks.addresses import LONGEST
from tenants.webhooks.events import LONGEST_PATTERN, MOST_PATTERNS
from tenants.webhooks.models import Delivery, Webhook

EXAMPLE = {"name": "chat", "url": "https://hooks.example.org/mains", "events": ["instance.*", "*.failed"]}


class PatternsField(serializers.ListField):
    """Patterns of event types, in which `*` stands for any characters."""

    def __init__(self, **kwargs: Any) -> None:
        child = serializers.CharField(max_length=LONGEST_PATTERN)
        super().__init__(child=child, min_length=1, max_length=MOST_PATTERNS, **kwargs)


class WebhookSerializer(serializers.ModelSerializer):
    """A receiver of events: of an organization, or (with `project`) of that project and those below it."""

    example = {**EXAMPLE, "project": None, "state": "enabled", "previous_until": None}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    events = serializers.ListField(child=serializers.CharField(), read_only=True)
    previous_until = serializers.DateTimeField(read_only=True, allow_null=True,
                                               help_text="Until when the secret before this one signs too.")

    class Meta:
        model = Webhook
        fields = ("id", "name", "description", "organization", "project", "url", "events", "state", "previous_until",
                  "created_at", "updated_at")
        read_only_fields = fields


class NewWebhookSerializer(WebhookSerializer):
    """The only answers that carry the secret: to a create and to a rotation."""

    example = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw…"}
    secret = serializers.CharField(read_only=True, allow_null=True)

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")
        read_only_fields = fields


class AttemptSerializer(serializers.Serializer):
    """One POST: when, what the receiver answered (its beginning), how long it took; `error` is empty when it was delivered."""

    example = {"status": 503, "ms": 84, "error": "status", "answer": "try later"}
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True)
    ms = serializers.IntegerField()
    error = serializers.CharField()
    answer = serializers.CharField()


class DeliverySerializer(serializers.ModelSerializer):
    """One event for one webhook. `message_id` is the header `webhook-id`, the same however often it is sent."""

    example = {"type": "instance.start.succeeded", "state": "succeeded", "tries": 1,
               "payload": {"type": "instance.start.succeeded"}}
    reads = {"message_id": ("pk",)}
    message_id = serializers.SerializerMethodField()
    webhook = serializers.UUIDField(source="webhook_id", read_only=True)
    event = serializers.UUIDField(source="event_id", read_only=True)
    payload = serializers.DictField(read_only=True)
    attempts = serializers.ListField(child=AttemptSerializer(), read_only=True)

    class Meta:
        model = Delivery
        fields = ("id", "message_id", "webhook", "event", "type", "state", "tries", "payload", "attempts", "created_at",
                  "next_at", "finished_at")
        read_only_fields = fields

    def get_message_id(self, delivery: Any) -> str:
        return f"msg_{delivery.pk.hex}"


class CreateWebhookSerializer(StrictSerializer):
    """`organization` for all of it, or `project`. A `secret` may be brought along: whsec_ and base64."""

    example = EXAMPLE
    organization = VisibleField(Organization, required=False)
    project = VisibleField(Project, "webhook.manage", required=False, allow_null=True)
    name = NameField()
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    url = serializers.CharField(max_length=LONGEST)
    events = PatternsField()
    secret = serializers.CharField(max_length=100, required=False)


class ChangeWebhookSerializer(StrictSerializer):
    example = {"events": ["*"], "enabled": True}
    name = NameField(required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    url = serializers.CharField(max_length=LONGEST, required=False)
    events = PatternsField(required=False)
    enabled = serializers.BooleanField(required=False)


class ListedForAdministrators(Listed):
    """GET on the collection; refused, not empty, for whoever holds the permission nowhere."""

    def list(self, request: Request) -> Response:
        permission = self.permissions["list"]
        if not self.may_anywhere(permission):
            raise request.user.grants.refusal(permission)
        return super().list(request)


class WebhookViewSet(ListedForAdministrators, Fetched, RoomViewSet):
    """Receivers of events."""

    queryset = Webhook.objects.all()
    serializer_class = WebhookSerializer
    bodies = {"create": CreateWebhookSerializer, "partial_update": ChangeWebhookSerializer}
    answers = {"create": (201, NewWebhookSerializer), "partial_update": (200, WebhookSerializer), "destroy": (204, None),
               "test": (201, DeliverySerializer), "rotate": (200, NewWebhookSerializer)}
    errors = {"create": (QuotaExceeded,), "test": (StateConflict,)}
    permissions = {"list": "webhook.view", "retrieve": "webhook.view", "create": "webhook.manage",
                   "partial_update": "webhook.manage", "destroy": "webhook.manage", "test": "webhook.manage",
                   "rotate": "webhook.manage"}
    secret_fields = ("secret",)
    filters = {"organization": "organization", "state": "state"}
    ordering_fields = ("created_at", "name")

    def create(self, request: Request) -> Response:
        """Make a webhook. `secret` is in this answer only."""
        values = self.read_body()
        project = values.get("project")
        organization = values.pop("organization", None) or (project and project.organization)
        if organization is None:
            raise InvalidInput.field("organization", "Name an organization or a project.")
        if project is None:
            self.require("webhook.manage", organization)
        webhook, secret = operations.create_webhook(organization, patterns=values.pop("events"), actor=request.user, **values)
        return self.shown(webhook, status=201, secret=secret)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change it; `enabled: true` sends what waited while it was disabled."""
        return self.shown(operations.change_webhook(self.target, actor=request.user, **self.read_body()))

    def destroy(self, request: Request, pk: str) -> Response:
        """Nothing is sent to it any more, and its log is gone."""
        operations.delete_webhook(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/test")
    def test(self, request: Request, pk: str) -> Response:
        """Send one event `webhook.test`, once."""
        delivery = operations.send_test(self.target, actor=request.user)
        return Response(DeliverySerializer(delivery).data, status=201)

    @action(detail=True, methods=["post"], url_path="actions/rotate")
    def rotate(self, request: Request, pk: str) -> Response:
        """A new secret, in this answer only. For 24 hours the one before signs too."""
        webhook, secret = operations.rotate_secret(self.target, actor=request.user)
        return self.shown(webhook, secret=secret)


class DeliveryViewSet(ListedForAdministrators, Fetched, RoomViewSet):
    """What was sent to webhooks, and what will be."""

    queryset = Delivery.objects.select_related("webhook")
    serializer_class = DeliverySerializer
    answers = {"resend": (200, DeliverySerializer)}
    errors = {"resend": (StateConflict,)}
    permissions = {"list": "webhook.view", "retrieve": "webhook.view", "resend": "webhook.manage"}
    filters = {"webhook": "webhook", "state": "state", "type": "type", "event": "event_id"}
    search_fields = ("type",)

    @action(detail=True, methods=["post"], url_path="actions/resend")
    def resend(self, request: Request, pk: str) -> Response:
        """Send it again now, under the same `webhook-id`."""
        return self.shown(operations.resend(self.target, actor=request.user))
