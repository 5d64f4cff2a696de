"""REST of tenants: who am I, organizations, projects. People are in `people_api`, keys in `keys_api`, limits in `quota_api`."""
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from portal.kernel.rest.pagination import MOST
from portal.kernel.rest.serializers import NameField, StrictSerializer, VisibleField
from portal.kernel.rest.views import SIGNED_IN, STAFF, Fetched, Listed, RoomViewSet
from tenants import operations, structure
from tenants.access import require_below, require_move
from tenants.errors import NotEmpty, ProjectArchived
from tenants.keys_api import ApiKeySerializer
from tenants.models import Organization, Project, User
from tenants.quota_api import ChangeQuotasSerializer, HasQuotas, QuotasSerializer


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the schema names the API key."""

    target_class = "tenants.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "mns_…"}


class SessionScheme(OpenApiAuthenticationExtension):
    """How the schema names the browser's session."""

    target_class = "tenants.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class VisibleProject(VisibleField):
    """The `project` of a body: visible, and granting the given permission."""

    def __init__(self, permission: str, **kwargs: Any) -> None:
        super().__init__(Project, permission, **kwargs)


# -- what is read --

class OrganizationSerializer(serializers.ModelSerializer):
    example = {"name": "Acme", "plan": "standard", "suspended_at": None, "suspension_reason": "", "while_suspended": "keep",
               "requires_mfa": False}

    class Meta:
        model = Organization
        fields = ("id", "name", "plan", "suspended_at", "suspension_reason", "while_suspended", "requires_mfa", "created_at",
                  "updated_at")
        read_only_fields = fields


class ProjectSerializer(serializers.ModelSerializer):
    example = {"name": "shop", "archived_at": None}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    parent = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)

    class Meta:
        model = Project
        fields = ("id", "name", "description", "organization", "parent", "archived_at", "created_at", "updated_at")
        read_only_fields = fields


class LimitsSerializer(serializers.Serializer):
    """What one caller may ask of the API: so many requests in a window (0: no limit), rows on a page, bytes in a body."""

    example = {"requests": 1200, "window_s": 60, "rows": MOST, "body_bytes": 1024 * 1024}
    requests = serializers.IntegerField()
    window_s = serializers.IntegerField()
    rows = serializers.IntegerField()
    body_bytes = serializers.IntegerField()


class PrincipalSerializer(serializers.Serializer):
    """Who is asking, and what they may do where."""

    class Where(serializers.Serializer):
        example = {"name": "shop", "permissions": ["instance.view"]}
        id = serializers.UUIDField()
        name = serializers.CharField()
        organization = serializers.UUIDField()
        permissions = serializers.ListField(child=serializers.CharField())

        class Meta:
            ref_name = "ProjectRights"

    example = {"is_superuser": False}
    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    is_superuser = serializers.BooleanField()
    api_key = ApiKeySerializer(allow_null=True, help_text="The key that asks, with its scopes; null for a browser's session.")
    organizations = OrganizationSerializer(many=True)
    projects = Where(many=True)
    limits = LimitsSerializer()


# -- what is written --

class CreateProjectSerializer(StrictSerializer):
    example = {"name": "shop"}
    organization = VisibleField(Organization)
    parent = VisibleField(Project, "project.manage", required=False, allow_null=True)
    name = NameField()
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class ChangeProjectSerializer(StrictSerializer):
    """`parent` moves the project with all below it; null puts it at the top of its organization."""

    example = {"name": "shop"}
    name = NameField(required=False)
    parent = VisibleField(Project, "project.manage", required=False, allow_null=True)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class ChangeOrganizationSerializer(StrictSerializer):
    """`requires_mfa` shuts the organization to members, and their keys, who have no second factor; whoever sets it needs one."""

    example = {"name": "Acme"}
    name = NameField(required=False)
    requires_mfa = serializers.BooleanField(required=False)


class SuspendSerializer(StrictSerializer):
    """Why, and whether what runs goes on or is stopped."""

    example = {"reason": "Unpaid since October", "while_suspended": "keep"}
    reason = serializers.CharField(max_length=300)
    while_suspended = serializers.ChoiceField(Organization.WhileSuspended.choices, required=False)


# -- viewsets --

class MeViewSet(RoomViewSet):
    """Who the caller is."""

    queryset = User.objects.all()
    serializer_class = PrincipalSerializer
    permissions = {"me": SIGNED_IN}
    answers = {"me": (200, PrincipalSerializer)}

    def me(self, request: Request) -> Response:
        """The caller, their projects, and their permissions in each (of a superuser: all, everywhere)."""
        user, grants = request.user, request.user.grants
        everything = sorted(registry.permissions) if grants.sees_everything else []
        projects = [{"id": project.pk, "name": project.name, "organization": project.organization_id,
                     "permissions": everything or sorted(grants.by_project.get(project.pk, ()))}
                    for project in Project.objects.visible_to(user)[:500]]
        return Response(PrincipalSerializer({
            "id": user.pk, "username": user.username, "email": user.email, "is_superuser": user.is_superuser,
            "api_key": request.auth, "organizations": Organization.objects.visible_to(user)[:500], "projects": projects,
            "limits": {"requests": settings.API_RATE["requests"], "window_s": settings.API_RATE["window_s"], "rows": MOST,
                       "body_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE},
        }).data)


class OrganizationViewSet(HasQuotas, Listed, Fetched, RoomViewSet):
    """The tenants that the caller belongs to."""

    queryset = Organization.objects.all()
    serializer_class = OrganizationSerializer
    bodies = {"partial_update": ChangeOrganizationSerializer, "suspend": SuspendSerializer,
              "change_quotas": ChangeQuotasSerializer}
    answers = {"destroy": (204, None), "suspend": (200, OrganizationSerializer), "resume": (200, OrganizationSerializer),
               "quotas": (200, QuotasSerializer), "change_quotas": (200, QuotasSerializer)}
    errors = {"destroy": (NotEmpty,)}
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN, "partial_update": "organization.manage",
                   "destroy": "organization.manage", "suspend": STAFF, "resume": STAFF,
                   "quotas": "project.view", "change_quotas": STAFF}
    search_fields = ("name",)
    ordering_fields = ("created_at", "name")

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.shown(operations.change_organization(self.target, **self.read_body(), actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """Refused (`not_empty`, with `items` and `count`) until all of its projects are deleted."""
        structure.delete_organization(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/suspend")
    def suspend(self, request: Request, pk: str) -> Response:
        """Let its members only look from now on (superusers); again changes the reason and what becomes of what runs."""
        return self.shown(structure.suspend_organization(self.target, **self.read_body(), actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/resume")
    def resume(self, request: Request, pk: str) -> Response:
        """End the suspension (superusers). What was stopped stays stopped until it is started."""
        return self.shown(structure.resume_organization(self.target, actor=request.user))


class ProjectViewSet(HasQuotas, Listed, Fetched, RoomViewSet):
    """Folders for resources; a tree in each organization."""

    queryset = Project.objects.select_related("organization")
    serializer_class = ProjectSerializer
    bodies = {"create": CreateProjectSerializer, "partial_update": ChangeProjectSerializer,
              "change_quotas": ChangeQuotasSerializer}
    answers = {"create": (201, ProjectSerializer), "destroy": (204, None), "quotas": (200, QuotasSerializer),
               "change_quotas": (200, QuotasSerializer), "archive": (200, ProjectSerializer),
               "unarchive": (200, ProjectSerializer)}
    errors = {"create": (ProjectArchived,), "partial_update": (ProjectArchived, QuotaExceeded), "destroy": (NotEmpty,)}
    permissions = {"list": "project.view", "retrieve": "project.view", "create": "project.manage",
                   "partial_update": "project.manage", "destroy": "project.manage", "archive": "project.manage",
                   "unarchive": "project.manage", "quotas": "project.view", "change_quotas": "project.manage"}
    filters = {"organization": "organization_id", "parent": "parent_id"}
    search_fields = ("name", "description")
    ordering_fields = ("created_at", "name")

    def create(self, request: Request) -> Response:
        """Needs `project.manage` in the whole organization, or in the parent project."""
        values = self.read_body()
        if not values.get("parent"):
            self.require("project.manage", values["organization"])
        return self.shown(operations.create_project(**values, actor=request.user), status=201)

    def may_anywhere(self, permission: str) -> bool:
        # The first project of an organization is made by somebody who has none yet.
        grants = self.request.user.grants
        wide = grants.organization_wide.values()
        return grants.may_anywhere(permission) or any(permission in names for names in wide)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename, describe, move. Moving needs `project.manage` where it stands and where it is to stand, too."""
        values, project = self.read_body(), self.target
        if "parent" in values:
            require_move(request.user, project, parent := values.pop("parent"))
            project = structure.move_project(project, parent=parent, actor=request.user)
        if values:
            project = operations.change_project(project, **values, actor=request.user)
        return self.shown(project)

    def destroy(self, request: Request, pk: str) -> Response:
        """With the empty projects below it. Refused (`not_empty`, with `items` and `count`) while anything lives in them; the
        default VPC and security group do not count as long as nothing uses them."""
        require_below(request.user, "project.manage", self.target)
        structure.delete_project(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/archive")
    def archive(self, request: Request, pk: str) -> Response:
        """Nothing new is made in it or below it from now on; what is there goes on."""
        require_below(request.user, "project.manage", self.target)
        return self.shown(structure.archive_project(self.target, actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/unarchive")
    def unarchive(self, request: Request, pk: str) -> Response:
        """It takes new things again."""
        return self.shown(structure.unarchive_project(self.target, actor=request.user))
