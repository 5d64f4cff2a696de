"""What bodies are made of: strict input, ids that never tell what is hidden, tags, money, operations.

Serializers check shape only. They do not save, and the only rows they look up are ids, through `VisibleField`.
"""
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from portal.kernel.declarations import registry
from portal.kernel.models import Operation, Resource
from portal.kernel.models.operation import step_of
from portal.kernel.names import MOST_TAGS, NAME_RULE, are_tags, is_name

from .examples import id_of
from .problem import HIDDEN
from .projection import project


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
            raise user.grants.refusal(self.permission, found).about(found)
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
        if not are_tags(data):
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

    example = {"name": "web-1", "tags": {"env": "prod"}}
    name = NameField(required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    tags = TagsField(required=False)


class ProjectedSerializer(serializers.ModelSerializer):
    """A read serializer that may also stand inside another one: it shows there what lists and single rows show."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return project(type(self), [instance], self.context)[0]


class ResourceSerializer(ProjectedSerializer):
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

    example = {"type": "instance", "url": f"/api/v1/instances/{id_of('id')}/"}
    type = serializers.CharField()
    id = serializers.UUIDField()
    url = serializers.CharField(allow_null=True)


class OperationErrorSerializer(serializers.Serializer):
    """Why an operation failed: a stable code, a sentence, and facts."""

    code = serializers.CharField()
    detail = serializers.CharField()
    facts = serializers.DictField()


@extend_schema_serializer(component_name="Operation")
class OperationSerializer(ProjectedSerializer):
    """An operation as clients see it. Never its arguments or internal facts."""

    example = {"kind": "instance.create", "state": "running", "parent": None, "progress": 40, "step": "boot", "error": None,
               "result": None, "finished_at": None}
    reads = {"target": ("target_id", "target__kind"), "step": ("state", "plan", "step")}
    target = serializers.SerializerMethodField()
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    actor = serializers.UUIDField(source="actor_id", read_only=True, allow_null=True)
    parent = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)
    progress = serializers.IntegerField(read_only=True)
    step = serializers.SerializerMethodField()
    error = OperationErrorSerializer(read_only=True, allow_null=True)
    result = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = Operation
        fields = ("id", "kind", "state", "target", "project", "actor", "parent", "progress", "step", "error", "result",
                  "created_at", "started_at", "finished_at")
        read_only_fields = fields

    @extend_schema_field(TargetSerializer(allow_null=True))
    def get_target(self, operation: Any) -> dict[str, str | None] | None:
        pk = operation.target_id
        return pk and {"type": operation.target__kind, "id": str(pk), "url": address_of(operation.target__kind, pk)}

    def get_step(self, operation: Any) -> str | None:
        return step_of(operation.state, operation.plan, operation.step)


def url_of(resource: Resource) -> str | None:
    """The resource's address in the API; None for kinds without one."""
    return address_of(resource.kind, resource.pk)


def address_of(kind: str, pk: UUID) -> str | None:
    declared = registry.kinds.get(kind)
    try:
        return reverse(declared.api, args=[pk]) if declared and declared.api else None
    except NoReverseMatch:
        return None


class QuotaLineSerializer(serializers.Serializer):
    """One dimension at one scope; limit null is unlimited."""

    example = {"resource": "instances", "scope": "shop", "limit": 20, "used": 3}
    resource = serializers.CharField()
    scope = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    wanted = serializers.IntegerField()


class ForecastPriceSerializer(serializers.Serializer):
    hourly = MoneySerializer()
    monthly = MoneySerializer()


class PlacementSerializer(serializers.Serializer):
    example = {"reasons": []}
    feasible = serializers.BooleanField()
    reasons = serializers.ListField(child=serializers.CharField())


class DryRunSerializer(serializers.Serializer):
    """The answer to `?dry_run=true`."""

    allowed = serializers.BooleanField()
    has_credit = serializers.BooleanField(help_text="False: too little credit is left, payment is due, or a budget is reached.")
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
