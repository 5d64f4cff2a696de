"""REST of launch templates. What is secret in them is taken, and never answered."""
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances.api import CreateInstanceSerializer
from compute.instances.launch_templates import verbs
from compute.instances.launch_templates.bodies import filled_in, version_of
from compute.instances.launch_templates.models import CALLED, LaunchTemplate, LaunchTemplateVersion
from portal.kernel.describing import update_resource
from portal.kernel.errors import InvalidInput, QuotaExceeded
from portal.kernel.models import Region
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.projection import project
from portal.kernel.rest.serializers import (
    DescribedSerializer,
    RenameSerializer,
    ResourceSerializer,
    StrictSerializer,
    VisibleField,
)
from portal.kernel.rest.views import Described, Fetched, Listed, RoomViewSet
from tenants.api import VisibleProject
from tenants.errors import ProjectArchived

NOT_KEPT = ("project", "region", "ports", "password", "template", "template_version", *CALLED.values())
"""Of a request for instances: a template has the first two itself, a port is used once, and a password is kept nowhere."""
VALUES = {"type": id_of("instance_type"), "image": id_of("image"), "count": 2}


class Wishes(StrictSerializer):
    """What new instances are to be: the fields of a request for them, as they are declared there. None is needed."""

    def get_fields(self) -> dict[str, serializers.Field]:
        asked = CreateInstanceSerializer().get_fields()  # new ones at every call
        kept = {name: field for name, field in asked.items() if name not in NOT_KEPT}
        kept |= {name: CreateInstanceSerializer().get_fields()[other] for name, other in CALLED.items()}
        return {**kept, **super().get_fields()}


class LaunchTemplateSerializer(ResourceSerializer):
    """`default_version` is what instances are made from when no version is named."""

    example = {"name": "web servers", "default_version": 2, "latest_version": 3}

    class Meta(ResourceSerializer.Meta):
        model = LaunchTemplate
        fields = (*ResourceSerializer.Meta.fields, "default_version", "latest_version")
        read_only_fields = fields


class CreateLaunchTemplateSerializer(Wishes, DescribedSerializer):
    """`name`, `description` and `tags` are the template's; those of its instances begin with `instance_`."""

    example = {"name": "web servers", **VALUES}
    project = VisibleProject(verbs.CREATE)
    region = VisibleField(Region)


class ChangeLaunchTemplateSerializer(RenameSerializer):
    example = {"default_version": 2}
    default_version = serializers.IntegerField(min_value=1, required=False)


class SaveVersionSerializer(Wishes):
    """A version is whole: what is not said here is taken from the version `source`, or left out without one."""

    example = {**VALUES, "count": 3, "is_default": True}
    source = serializers.IntegerField(min_value=1, required=False)
    is_default = serializers.BooleanField(required=False, default=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict) or data.get("source") is None:
            return super().to_internal_value(data)
        version = version_of(self.context["view"].target, self.fields["source"], "source", data["source"])
        return filled_in(data, version.wishes, super().to_internal_value)


class LaunchTemplateVersionSerializer(serializers.ModelSerializer):
    """`values` are as in the request that saved it, without user data. What they name may be gone by now."""

    example = {"number": 2, "values": VALUES, "has_user_data": True}
    reads = {"has_user_data": ("user_data",)}
    values = serializers.DictField(read_only=True)
    has_user_data = serializers.SerializerMethodField()
    created_by = serializers.UUIDField(source="created_by_id", read_only=True, allow_null=True)

    class Meta:
        model = LaunchTemplateVersion
        fields = ("id", "number", "values", "has_user_data", "created_at", "created_by")
        read_only_fields = fields

    def get_has_user_data(self, row: Any) -> bool:
        return bool(row.user_data)


class LaunchTemplateVersionsSerializer(serializers.Serializer):
    """One page of versions, newest first; `next` leads to the following."""

    example = {"next": None, "previous": None}
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = LaunchTemplateVersionSerializer(many=True)


class LaunchTemplateViewSet(Listed, Fetched, Described, RoomViewSet):
    """What instances are made from: POST /api/v1/instances/ with `template`."""

    queryset = LaunchTemplate.objects.all()
    serializer_class = LaunchTemplateSerializer
    bodies = {"create": CreateLaunchTemplateSerializer, "partial_update": ChangeLaunchTemplateSerializer,
              "save_version": SaveVersionSerializer}
    answers = {"create": (201, LaunchTemplateSerializer), "partial_update": (200, LaunchTemplateSerializer),
               "destroy": (204, None), "versions": (200, LaunchTemplateVersionsSerializer),
               "save_version": (201, LaunchTemplateVersionSerializer)}
    errors = {"create": (QuotaExceeded, ProjectArchived), "save_version": (ProjectArchived,)}
    permissions = {**dict.fromkeys(("list", "retrieve", "versions"), verbs.VIEW), "create": verbs.CREATE,
                   **dict.fromkeys(("partial_update", "save_version"), verbs.UPDATE), "destroy": verbs.DELETE}
    query_parameters = {"versions": ("limit", "cursor")}
    search_fields = ("name", "description")
    ordering_fields = ("created_at", "name")

    def create(self, request: Request) -> Response:
        """Make a template with its first version."""
        body = self.read_body()
        own = {name: body.pop(name) for name in ("project", "region", "name", "description", "tags") if name in body}
        return self.shown(verbs.create_template(**own, wishes=body, actor=request.user), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename, describe, tag; choose the default version."""
        changes = self.read_body()
        number = changes.pop("default_version", None)
        if number is not None:
            verbs.choose_default(self.target, number, actor=request.user)
        elif not changes:
            raise InvalidInput.field("name", _("Nothing to change."))
        return self.shown(update_resource(self.target, actor=request.user, **changes) if changes else self.target)

    def destroy(self, request: Request, pk: str) -> Response:
        """Nothing is made from it any more; instances that were stay."""
        verbs.delete_template(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["get"])
    def versions(self, request: Request, pk: str) -> Response:
        """All that are kept, newest first."""
        rows = self.paginate_queryset(LaunchTemplateVersion.objects.filter(template=self.target))
        return self.get_paginated_response(project(LaunchTemplateVersionSerializer, rows, self.get_serializer_context()))

    @versions.mapping.post
    def save_version(self, request: Request, pk: str) -> Response:
        """Save a new version, which becomes the default one unless told otherwise."""
        body = self.read_body()
        is_default = body.pop("is_default")
        body.pop("source", None)
        version = verbs.add_version(self.target, wishes=body, is_default=is_default, actor=request.user)
        return Response(project(LaunchTemplateVersionSerializer, [version], self.get_serializer_context())[0], status=201)
