"""What bodies are made of: strict input, ids that never tell what is hidden, tags, money, operations.

Serializers check shape only. They do not save, and the only rows they look up are ids, through `VisibleField`.
"""
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from portal.kernel.declarations import registry
from portal.kernel.errors import Forbidden
from portal.kernel.models import Operation, Resource
from portal.kernel.names import NAME_RULE, is_name

from .problem import HIDDEN

MOST_TAGS = 50


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not declare, read-only ones included, naming each."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            if unknown := set(data) - writable:
                raise serializers.ValidationError({name: [_("Unknown field.")] for name in sorted(map(str, unknown))},
                                                  code="unknown_field")
        return super().to_internal_value(data)


@extend_schema_field(OpenApiTypes.UUID)
class VisibleField(serializers.Field):
    """An id in a body. Absent and hidden rows give the same error (404); visible but not allowed is 403.

    `queryset` has `visible_to(user)`; `permission` is what the row's project must grant (None: seeing is enough).
    """

    lookup = "pk"
    default_error_messages = {
        "invalid": _("Not a valid UUID."),
        HIDDEN: _("There is no such object, or you may not see it."),
    }

    def __init__(self, queryset: QuerySet | type, permission: str | None = None, **kwargs: Any) -> None:
        self.queryset, self.permission = queryset, permission
        self._id = serializers.UUIDField()
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        user = self.context["request"].user
        queryset = self.queryset.all() if isinstance(self.queryset, QuerySet) else self.queryset.objects.all()
        rows = queryset.visible_to(user)
        if self.permission:
            # A key scoped to `instance.create` alone may name the project that it creates in.
            rows |= queryset.visible_to(user, self.permission)
        found = rows.filter(**{self.lookup: self._id.run_validation(data)}).first()
        if found is None:
            self.fail(HIDDEN)
        if self.permission and not user.grants.allows(self.permission, found):
            raise Forbidden(permission=self.permission).about(found)
        return found

    def to_representation(self, value: Any) -> str:
        return str(getattr(value, "pk", value))


class NameField(serializers.CharField):
    """A name a person gives (portal.kernel.names)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 100} | kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if not data.strip().isprintable() or data != data.strip("\r\n\t"):
            raise serializers.ValidationError(NAME_RULE)
        value = super().to_internal_value(data)
        if not is_name(value):
            raise serializers.ValidationError(NAME_RULE)
        return value


@extend_schema_field({"type": "object", "maxProperties": MOST_TAGS,
                      "additionalProperties": {"type": "string", "maxLength": 200}})
class TagsField(serializers.Field):
    """`{"env": "prod"}`: at most 50, keys 1 … 60 characters without a colon, values up to 200."""

    default_error_messages = {"invalid": _("An object of at most 50 short strings; keys without a colon.")}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or len(data) > MOST_TAGS:
            self.fail("invalid")
        for key, value in data.items():
            if not (isinstance(value, str) and 1 <= len(key) <= 60 and len(value) <= 200 and ":" not in key
                    and (key + value).isprintable()):
                self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class DescribedSerializer(StrictSerializer):
    """The fields that a user gives to everything they make. Subclass it for create bodies."""

    name = NameField()
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    tags = TagsField(required=False)


class RenameSerializer(StrictSerializer):
    """PATCH of what every resource has; all optional."""

    name = NameField(required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    tags = TagsField(required=False)


class ResourceSerializer(serializers.ModelSerializer):
    """Base of read serializers. Their `class Meta(ResourceSerializer.Meta)` sets `model` and extends `fields`."""

    id = serializers.UUIDField(read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True)
    region = serializers.UUIDField(source="region_id", read_only=True)
    tags = TagsField(read_only=True)

    class Meta:
        model = Resource
        fields = ("id", "name", "description", "tags", "project", "region", "created_at", "updated_at")
        read_only_fields = fields


class EmptySerializer(StrictSerializer):
    """An action without arguments: an empty body or `{}`."""


class MoneySerializer(serializers.Serializer):
    """`{"amount": "12.34", "currency": "CNY"}`; never a float."""

    amount = serializers.CharField()
    currency = serializers.CharField()


def money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"amount": format(amount, "f"), "currency": currency}


class TargetSerializer(serializers.Serializer):
    """What an operation works on."""

    type = serializers.CharField()
    id = serializers.UUIDField()
    url = serializers.CharField(allow_null=True)


class OperationErrorSerializer(serializers.Serializer):
    """Why an operation failed: a stable code, a sentence, and facts."""

    code = serializers.CharField()
    detail = serializers.CharField()
    facts = serializers.DictField()


@extend_schema_serializer(component_name="Operation")
class OperationSerializer(serializers.ModelSerializer):
    """An operation as clients see it. Never its arguments or internal facts. Needs select_related("target")."""

    target = serializers.SerializerMethodField()
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    actor = serializers.UUIDField(source="actor_id", read_only=True, allow_null=True)
    parent = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)
    progress = serializers.IntegerField(read_only=True)
    step = serializers.CharField(source="step_name", read_only=True, allow_null=True)
    error = OperationErrorSerializer(read_only=True, allow_null=True)
    result = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = Operation
        fields = ("id", "kind", "state", "target", "project", "actor", "parent", "progress", "step", "error", "result",
                  "created_at", "started_at", "finished_at")
        read_only_fields = fields

    @extend_schema_field(TargetSerializer(allow_null=True))
    def get_target(self, operation: Operation) -> dict[str, str | None] | None:
        resource = operation.target
        return resource and {"type": resource.kind, "id": str(resource.pk), "url": url_of(resource)}


def url_of(resource: Resource) -> str | None:
    """The resource's address in the API; None for kinds without one."""
    declared = registry.kinds.get(resource.kind)
    try:
        return reverse(declared.api, args=[resource.pk]) if declared and declared.api else None
    except NoReverseMatch:
        return None


class QuotaLineSerializer(serializers.Serializer):
    """One dimension at one scope; limit null is unlimited."""

    resource = serializers.CharField()
    scope = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    wanted = serializers.IntegerField()


class ForecastPriceSerializer(serializers.Serializer):
    hourly = MoneySerializer()
    monthly = MoneySerializer()


class PlacementSerializer(serializers.Serializer):
    feasible = serializers.BooleanField()
    reasons = serializers.ListField(child=serializers.CharField())


class DryRunSerializer(serializers.Serializer):
    """The answer to `?dry_run=true`."""

    allowed = serializers.BooleanField()
    price = ForecastPriceSerializer()
    quota = QuotaLineSerializer(many=True)
    placement = PlacementSerializer()


class ProblemSerializer(serializers.Serializer):
    """RFC 9457, with a stable `code`, the fields at fault, and facts beside these."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)
    request_id = serializers.CharField()
