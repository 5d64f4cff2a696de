"""REST of tenants: who am I, organizations, projects and quotas, API keys. People are in `people_api`."""
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.declarations import registry
from portal.kernel.errors import Forbidden, QuotaExceeded
from portal.kernel.models import Region
from portal.kernel.rest.pagination import MOST
from portal.kernel.rest.serializers import NameField, QuotaLineSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import SIGNED_IN, STAFF, Fetched, Listed, RoomViewSet
from tenants import operations, quotas, structure
from tenants.access import require_below, require_move
from tenants.errors import NotEmpty, ProjectArchived
from tenants.models import ApiKey, Organization, Project, User


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
    example = {"name": "Acme", "plan": "standard", "suspended_at": None, "suspension_reason": "", "while_suspended": "keep"}

    class Meta:
        model = Organization
        fields = ("id", "name", "plan", "suspended_at", "suspension_reason", "while_suspended", "created_at", "updated_at")
        read_only_fields = fields


class ProjectSerializer(serializers.ModelSerializer):
    example = {"name": "shop", "archived_at": None}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    parent = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)

    class Meta:
        model = Project
        fields = ("id", "name", "description", "organization", "parent", "archived_at", "created_at", "updated_at")
        read_only_fields = fields


class ApiKeySerializer(serializers.ModelSerializer):
    example = {"name": "ci", "prefix": "mns_q3Vt0aXw2k", "scopes": ["instance.view"], "revoked_at": None}
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiKey
        fields = ("id", "name", "prefix", "project", "scopes", "expires_at", "last_used_at", "revoked_at", "created_at")
        read_only_fields = fields


class NewApiKeySerializer(ApiKeySerializer):
    """The only answer that carries the key itself."""

    example = {"secret": "mns_q3Vt0aXw2k_…"}
    secret = serializers.CharField(read_only=True, allow_null=True)

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "secret")
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
    example = {"name": "Acme"}
    name = NameField(required=False)


class SuspendSerializer(StrictSerializer):
    """Why, and whether what runs goes on or is stopped."""

    example = {"reason": "Unpaid since October", "while_suspended": "keep"}
    reason = serializers.CharField(max_length=300)
    while_suspended = serializers.ChoiceField(Organization.WhileSuspended.choices, required=False)


class CreateApiKeySerializer(StrictSerializer):
    example = {"name": "ci", "scopes": ["instance.view"], "expires_at": "2027-11-01T08:00:00Z"}
    name = NameField()
    project = VisibleField(Project, required=False, allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField(max_length=80), required=False, max_length=100)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class LimitSerializer(StrictSerializer):
    """One limit; null is unlimited."""

    example = {"resource": "instances", "limit": 20}
    region = VisibleField(Region)
    resource = serializers.CharField(max_length=60)
    limit = serializers.IntegerField(min_value=0, max_value=2**63 - 1, allow_null=True)


class ChangeQuotasSerializer(StrictSerializer):
    limits = LimitSerializer(many=True, max_length=200)


class RegionQuotasSerializer(serializers.Serializer):
    region = serializers.UUIDField()
    lines = QuotaLineSerializer(many=True)


class QuotasSerializer(serializers.Serializer):
    results = RegionQuotasSerializer(many=True)


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
            "limits": {**settings.API_RATE, "rows": MOST, "body_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE},
        }).data)


class OrganizationViewSet(Listed, Fetched, RoomViewSet):
    """The tenants that the caller belongs to."""

    queryset = Organization.objects.all()
    serializer_class = OrganizationSerializer
    bodies = {"partial_update": ChangeOrganizationSerializer, "suspend": SuspendSerializer}
    answers = {"destroy": (204, None), "suspend": (200, OrganizationSerializer), "resume": (200, OrganizationSerializer)}
    errors = {"destroy": (NotEmpty,)}
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN, "partial_update": "organization.manage",
                   "destroy": "organization.manage", "suspend": STAFF, "resume": STAFF}
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


class ProjectViewSet(Listed, Fetched, RoomViewSet):
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
                   "unarchive": "project.manage", "quotas": "project.view", "change_quotas": STAFF}
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

    @action(detail=True, methods=["get"], url_path="quotas")
    def quotas(self, request: Request, pk: str) -> Response:
        """Usage and limits in every region, of the project and of what stands above it."""
        return Response(self._quotas())

    @quotas.mapping.put
    def change_quotas(self, request: Request, pk: str) -> Response:
        """Set the project's own limits (superusers)."""
        operations.set_quotas(self.target, self.read_body()["limits"], actor=request.user)
        return Response(self._quotas())

    def _quotas(self) -> dict[str, Any]:
        return QuotasSerializer({"results": [{"region": region.pk, "lines": quotas.lines(self.target, region)}
                                             for region in Region.objects.order_by("name")]}).data


class ApiKeyViewSet(Listed, Fetched, RoomViewSet):
    """The caller's own keys."""

    queryset = ApiKey.objects.all()
    serializer_class = ApiKeySerializer
    bodies = {"create": CreateApiKeySerializer}
    answers = {"create": (201, NewApiKeySerializer), "destroy": (204, None)}
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN, "create": SIGNED_IN, "destroy": SIGNED_IN}
    secret_fields = ("secret",)
    search_fields = ("name",)
    ordering_fields = ("created_at", "name")

    def create(self, request: Request) -> Response:
        """Make a key. `secret` is in this answer only. A key cannot make keys that reach further than itself."""
        values = self.read_body()
        if request.auth is not None:
            self._refuse_wider(request.auth, values)
        key, secret = operations.create_api_key(request.user, **values, actor=request.user)
        return self.shown(key, status=201, secret=secret)

    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke the key: refused from now on. A key cannot revoke keys that reach further than itself."""
        if request.auth is not None:
            key = self.target
            self._refuse_wider(request.auth, {"scopes": key.scopes, "project": key.project, "expires_at": key.expires_at})
        operations.revoke_api_key(self.target, actor=request.user)
        return Response(status=204)

    def _refuse_wider(self, key: ApiKey, values: dict[str, Any]) -> None:
        scopes, project, expires_at = set(values.get("scopes") or ()), values.get("project"), values.get("expires_at")
        wider = ((key.scopes and (not scopes or not scopes <= set(key.scopes)))
                 or (key.project_id and (project is None or project.pk != key.project_id))
                 or (key.expires_at and (expires_at is None or expires_at > key.expires_at)))
        if wider:
            raise Forbidden(permission="apikey.manage").about(key)
