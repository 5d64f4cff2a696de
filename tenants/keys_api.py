"""REST of programs' credentials: API keys, one's own and those of service users, and the service users."""
from datetime import timedelta

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.errors import Forbidden
from portal.kernel.rest.serializers import NameField, StrictSerializer, VisibleField
from portal.kernel.rest.views import SIGNED_IN, Fetched, Listed, RoomViewSet
from tenants import operations, service_users
from tenants.errors import NotForAnother, ProjectArchived
from tenants.keys import reaches_further, require_manager
from tenants.models import ApiKey, Project, ServiceUser

MOST_HOURS = operations.LONGEST_OVERLAP // timedelta(hours=1)


# -- what is read --

class ApiKeySerializer(serializers.ModelSerializer):
    """`project` is its area (null: all of its owner's projects), with all below it where `includes_below`; `scopes` are its
    actions (empty: all of its owner's). While `previous_until` lies ahead, the secret from before a rotation is good too."""

    example = {"name": "ci", "prefix": "mns_q3Vt0aXw2k", "scopes": ["instance.view"], "networks": ["192.0.2.0/24"],
               "last_used_from": "192.0.2.7", "includes_below": False, "revoked_at": None, "previous_until": None}
    owner = serializers.UUIDField(source="owner_id", read_only=True, help_text="A person's id, or a service user's.")
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    networks = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiKey
        fields = ("id", "name", "prefix", "owner", "project", "includes_below", "scopes", "networks", "expires_at",
                  "last_used_at", "last_used_from", "rotated_at", "previous_until", "previous_used_at", "revoked_at",
                  "created_at")
        read_only_fields = fields


class NewApiKeySerializer(ApiKeySerializer):
    """The only answer that carries the key itself."""

    example = {"secret": "mns_q3Vt0aXw2k_…"}
    secret = serializers.CharField(read_only=True, allow_null=True)

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "secret")
        read_only_fields = fields


class ServiceUserSerializer(serializers.ModelSerializer):
    """Its `id` is what bindings and keys name, `username` what the audit trail does."""

    example = {"name": "deploy", "username": "service-deploy-5f0c2c1e", "is_active": True}
    project = serializers.UUIDField(source="project_id", read_only=True)
    username = serializers.CharField(source="user.username", read_only=True)
    is_active = serializers.BooleanField(source="user.is_active", read_only=True)

    class Meta:
        model = ServiceUser
        fields = ("id", "name", "description", "project", "username", "is_active", "created_at", "updated_at")
        read_only_fields = fields


# -- what is written --

class CreateApiKeySerializer(StrictSerializer):
    """Of the caller's own, or of a `service_user`. `networks` are those from which it is accepted."""

    example = {"name": "ci", "scopes": ["instance.view"], "expires_at": "2027-11-01T08:00:00Z", "networks": ["192.0.2.0/24"]}
    name = NameField()
    service_user = VisibleField(ServiceUser, "member.manage", required=False, allow_null=True)
    project = VisibleField(Project, required=False, allow_null=True)
    includes_below = serializers.BooleanField(required=False)
    scopes = serializers.ListField(child=serializers.CharField(max_length=80), required=False, max_length=100)
    networks = serializers.ListField(child=serializers.CharField(max_length=60), required=False,
                                     max_length=operations.MOST_NETWORKS)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class RotateSerializer(StrictSerializer):
    """For how many hours the secret from before is still good."""

    example = {"overlap_hours": 24}
    overlap_hours = serializers.IntegerField(min_value=0, max_value=MOST_HOURS, required=False)


class CreateServiceUserSerializer(StrictSerializer):
    example = {"name": "deploy"}
    project = VisibleField(Project, "member.manage")
    name = NameField()
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


class ChangeServiceUserSerializer(StrictSerializer):
    example = {"name": "deploy"}
    name = NameField(required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)


# -- viewsets --

class ApiKeyViewSet(Listed, Fetched, RoomViewSet):
    """The caller's own keys, and those of service users of projects whose members the caller manages. A key sees and changes
    only those that reach no further than itself."""

    queryset = ApiKey.objects.select_related("owner")
    serializer_class = ApiKeySerializer
    bodies = {"create": CreateApiKeySerializer, "rotate": RotateSerializer}
    answers = {"create": (201, NewApiKeySerializer), "destroy": (204, None), "rotate": (200, NewApiKeySerializer),
               "end_previous": (200, ApiKeySerializer)}
    errors = {"create": (ProjectArchived, NotForAnother)}
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN, "create": SIGNED_IN, "destroy": SIGNED_IN, "rotate": SIGNED_IN,
                   "end_previous": SIGNED_IN}
    filters = {"owner": "owner_id"}
    secret_fields = ("secret",)
    search_fields = ("name",)
    ordering_fields = ("created_at", "name")

    def get_queryset(self) -> QuerySet:
        rows = super().get_queryset()
        return rows.within(self.request.auth) if isinstance(self.request.auth, ApiKey) else rows

    def create(self, request: Request) -> Response:
        """Make a key. `secret` is in this answer only. A key cannot make keys that reach further than itself; one of a service
        user is made by whoever could give all of its roles."""
        values = self.read_body()
        service = values.pop("service_user", None)
        if request.auth is not None and reaches_further(request.auth, values):
            raise Forbidden(permission="apikey.manage").about(request.auth)
        if service is not None:
            service_users.require_all_of(service, actor=request.user)
        key, secret = operations.create_api_key(service.user if service else request.user, **values, actor=request.user)
        return self.shown(key, status=201, secret=secret)

    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke the key: refused from now on."""
        operations.revoke_api_key(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/rotate")
    def rotate(self, request: Request, pk: str) -> Response:
        """A new `secret`, in this answer only, for the same key. The one before is good for `overlap_hours` more (0; at most
        168); one from before that ends now."""
        require_manager(self.target, actor=request.user)
        overlap = timedelta(hours=self.read_body().get("overlap_hours", 0))
        key, secret = operations.rotate_api_key(self.target, actor=request.user, overlap=overlap)
        return self.shown(key, secret=secret)

    @action(detail=True, methods=["post"], url_path="actions/end-previous")
    def end_previous(self, request: Request, pk: str) -> Response:
        """The secret from before the rotation is refused from now on."""
        return self.shown(operations.end_previous_secret(self.target, actor=request.user))


class ServiceUserViewSet(Listed, Fetched, RoomViewSet):
    """Programs' identities. They get roles by `bindings/` as people do, use `api-keys/`, and cannot sign in."""

    queryset = ServiceUser.objects.select_related("user", "project")
    serializer_class = ServiceUserSerializer
    bodies = {"create": CreateServiceUserSerializer, "partial_update": ChangeServiceUserSerializer}
    answers = {"create": (201, ServiceUserSerializer), "destroy": (204, None), "activate": (200, ServiceUserSerializer),
               "deactivate": (200, ServiceUserSerializer)}
    errors = {"create": (ProjectArchived,)}
    permissions = {"list": "member.view", "retrieve": "member.view", "create": "member.manage",
                   "partial_update": "member.manage", "destroy": "member.manage", "activate": "member.manage",
                   "deactivate": "member.manage"}
    search_fields = ("name", "description")
    ordering_fields = ("created_at", "name")

    def create(self, request: Request) -> Response:
        """Without roles and keys at first."""
        return self.shown(service_users.create(**self.read_body(), actor=request.user), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.shown(service_users.change(self.target, **self.read_body(), actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """Its keys are revoked and its roles end."""
        service_users.delete(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/activate")
    def activate(self, request: Request, pk: str) -> Response:
        """Its keys are accepted again. By whoever could give all of its roles."""
        return self.shown(service_users.activate(self.target, actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/deactivate")
    def deactivate(self, request: Request, pk: str) -> Response:
        """All of its keys are refused from now on."""
        return self.shown(service_users.deactivate(self.target, actor=request.user))
