"""REST of people: members, bindings, groups, an organization's own roles, invitations, and leaving."""
from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.declarations import ROLES
from portal.kernel.errors import Forbidden, InvalidInput
from portal.kernel.rest.serializers import NameField, StrictSerializer, VisibleField
from portal.kernel.rest.views import SIGNED_IN, Fetched, Listed, RoomViewSet
from tenants import invitations, people
from tenants.errors import InvitationOver, LastOwner
from tenants.models import Binding, Group, Invitation, Organization, Project, Role, User
from tenants.roles import LABELS, permissions_of

MOST_ROLES_SHOWN = 500


# -- what is read --

class MemberSerializer(serializers.ModelSerializer):
    """A person."""

    class Meta:
        model = User
        fields = ("id", "username", "first_name", "last_name", "email")
        read_only_fields = fields


class BindingSerializer(serializers.ModelSerializer):
    """Who (a user or a group) has which role where; without a project, in the whole organization."""

    example = {"role": "operator", "group": None}
    role = serializers.CharField(help_text="A built-in role's name, or the id of one of the organization's own.")
    user = serializers.UUIDField(source="user_id", read_only=True, allow_null=True)
    group = serializers.UUIDField(source="group_id", read_only=True, allow_null=True)
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)

    class Meta:
        model = Binding
        fields = ("id", "role", "user", "group", "organization", "project")
        read_only_fields = fields


class GroupSerializer(serializers.ModelSerializer):
    example = {"name": "night shift"}
    organization = serializers.UUIDField(source="organization_id", read_only=True)

    class Meta:
        model = Group
        fields = ("id", "name", "organization", "created_at", "updated_at")
        read_only_fields = fields


class RoleSerializer(serializers.Serializer):
    """A role: `name` is what bindings and invitations take, a word of a built-in one, the id of an organization's own."""

    example = {"id": None, "name": "viewer", "label": "Viewer", "organization": None, "permissions": ["instance.view"]}
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    label = serializers.CharField()
    organization = serializers.UUIDField(allow_null=True)
    permissions = serializers.ListField(child=serializers.CharField())


class InvitationSerializer(serializers.ModelSerializer):
    """The token is in the mail alone."""

    example = {"email": "new@example.org", "role": "viewer", "state": "pending"}
    reads = {"state": ("accepted_at", "revoked_at", "expires_at")}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    invited_by = serializers.UUIDField(source="invited_by_id", read_only=True)
    state = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = ("id", "email", "role", "organization", "project", "state", "invited_by", "created_at", "sent_at", "expires_at",
                  "accepted_at", "revoked_at")
        read_only_fields = fields

    def get_state(self, row: Any) -> str:
        return Invitation(accepted_at=row.accepted_at, revoked_at=row.revoked_at, expires_at=row.expires_at).state


# -- what is written --

class CreateBindingSerializer(StrictSerializer):
    """One of `user` and `group`, and one of `organization` and `project`."""

    example = {"role": "operator"}
    role = serializers.CharField(max_length=60)
    user = VisibleField(User, required=False)
    group = VisibleField(Group, required=False)
    organization = VisibleField(Organization, required=False)
    project = VisibleField(Project, required=False)


class CreateGroupSerializer(StrictSerializer):
    example = {"name": "night shift"}
    organization = VisibleField(Organization)
    name = NameField()


class ChangeGroupSerializer(StrictSerializer):
    example = {"name": "night shift"}
    name = NameField()


class GroupMemberSerializer(StrictSerializer):
    user = VisibleField(User)


class InOrganizationSerializer(StrictSerializer):
    organization = VisibleField(Organization)


class CreateRoleSerializer(StrictSerializer):
    example = {"name": "Backup", "permissions": ["instance.view", "volume.view"]}
    organization = VisibleField(Organization)
    name = NameField()
    permissions = serializers.ListField(child=serializers.CharField(max_length=80), min_length=1, max_length=200)


class ChangeRoleSerializer(StrictSerializer):
    example = {"name": "Backup", "permissions": ["instance.view"]}
    name = NameField(required=False)
    permissions = serializers.ListField(child=serializers.CharField(max_length=80), required=False, min_length=1, max_length=200)


class CreateInvitationSerializer(StrictSerializer):
    """Into a whole organization, or into a project of it."""

    example = {"email": "new@example.org", "role": "viewer"}
    email = serializers.EmailField(max_length=254)
    role = serializers.CharField(max_length=60)
    organization = VisibleField(Organization, required=False)
    project = VisibleField(Project, required=False)


def one_of(values: dict[str, Any], *names: str) -> Any:
    """The one that is given. Raises InvalidInput for none or both."""
    given = [values[name] for name in names if values.get(name) is not None]
    if len(given) != 1:
        raise InvalidInput.field(names[0], _("Give one of: {names}.").format(names=", ".join(names)))
    return given[0]


# -- viewsets --

class MemberViewSet(Listed, Fetched, RoomViewSet):
    """People with a role in an organization or project whose members the caller may see. Programs: `service-users/`."""

    queryset = User.objects.people()
    serializer_class = MemberSerializer
    bodies = {"remove": InOrganizationSerializer, "make_owner": InOrganizationSerializer}
    answers = {"remove": (204, None), "make_owner": (204, None)}
    errors = {"remove": (LastOwner,)}
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN, "remove": "member.manage", "make_owner": "organization.manage"}
    filters = {"username": "username"}
    search_fields = ("username", "first_name", "last_name")
    ordering, ordering_fields = "username", ("username",)

    @action(detail=True, methods=["post"], url_path="actions/remove")
    def remove(self, request: Request, pk: str) -> Response:
        """Take all roles and groups in an organization away."""
        organization = self.read_body()["organization"]
        self.require("member.manage", organization)
        people.remove_member(self.target, organization, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/make-owner")
    def make_owner(self, request: Request, pk: str) -> Response:
        """Hand an organization over: the member becomes its owner, and the caller, if they are one, an administrator."""
        organization = self.read_body()["organization"]
        self.require("organization.manage", organization)
        people.transfer_ownership(organization, to=self.target, actor=request.user)
        return Response(status=204)


class LeaveViewSet(RoomViewSet):
    """What callers do about their own membership."""

    queryset = User.objects.none()
    serializer_class = MemberSerializer
    bodies = {"leave": InOrganizationSerializer}
    answers = {"leave": (204, None)}
    errors = {"leave": (LastOwner,)}
    permissions = {"leave": SIGNED_IN}

    def leave(self, request: Request) -> Response:
        """Give up all roles and groups in an organization. A key of few scopes does no such thing."""
        if request.auth is not None and request.auth.scopes:
            raise Forbidden(permission="member.manage").about(request.auth)
        people.remove_member(request.user, self.read_body()["organization"], actor=request.user)
        return Response(status=204)


class BindingViewSet(Listed, Fetched, RoomViewSet):
    """Who has which role where."""

    queryset = Binding.objects.select_related("organization", "project", "user", "group__auth_group")
    serializer_class = BindingSerializer
    bodies = {"create": CreateBindingSerializer}
    answers = {"create": (201, BindingSerializer), "destroy": (204, None)}
    errors = {"destroy": (LastOwner,)}
    permissions = {"list": "member.view", "retrieve": "member.view", "create": "member.manage", "destroy": "member.manage"}
    filters = {"organization": "organization_id", "project": "project_id", "user": "user_id", "group": "group_id", "role": "role"}
    search_fields = ("role",)
    ordering, ordering_fields = "role", ("role",)

    def create(self, request: Request) -> Response:
        """Give a role to a member or a group. Nobody gives more than they hold there; owners are bound to a whole
        organization."""
        values = self.read_body()
        to, scope = one_of(values, "user", "group"), one_of(values, "project", "organization")
        return self.shown(people.give_role(values["role"], scope, to=to, actor=request.user), status=201)

    def destroy(self, request: Request, pk: str) -> Response:
        """Take the role away: it bites at the next request."""
        people.take_role(self.target, actor=request.user)
        return Response(status=204)


class GroupMembersSerializer(serializers.Serializer):
    results = MemberSerializer(many=True)


class GroupViewSet(Listed, Fetched, RoomViewSet):
    """Groups of people in an organization."""

    queryset = Group.objects.select_related("organization", "auth_group")
    serializer_class = GroupSerializer
    bodies = {"create": CreateGroupSerializer, "partial_update": ChangeGroupSerializer, "add": GroupMemberSerializer,
              "remove": GroupMemberSerializer}
    answers = {"create": (201, GroupSerializer), "partial_update": (200, GroupSerializer), "destroy": (204, None),
               "add": (204, None), "remove": (204, None), "members": (200, GroupMembersSerializer)}
    permissions = {"list": "member.view", "retrieve": "member.view", "create": "member.manage",
                   "partial_update": "member.manage", "destroy": "member.manage", "members": "member.view",
                   "add": "member.manage", "remove": "member.manage"}
    filters = {"organization": "organization_id"}
    search_fields = ("name",)
    ordering_fields = ("created_at", "name")

    def create(self, request: Request) -> Response:
        """Needs `member.manage` in the whole organization."""
        values = self.read_body()
        self.require("member.manage", values["organization"])
        return self.shown(people.create_group(values["organization"], values["name"], actor=request.user), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.shown(people.rename_group(self.target, self.read_body()["name"], actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """The group with its bindings."""
        people.delete_group(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["get"], url_path="members")
    def members(self, request: Request, pk: str) -> Response:
        """Who is in it."""
        rows = User.objects.filter(groups=self.target.auth_group_id).order_by("username", "pk")[:500]
        return Response(GroupMembersSerializer({"results": rows}).data)

    @action(detail=True, methods=["post"], url_path="actions/add")
    def add(self, request: Request, pk: str) -> Response:
        """A member of the organization joins the group."""
        people.add_to_group(self.target, self.read_body()["user"], actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/remove")
    def remove(self, request: Request, pk: str) -> Response:
        people.remove_from_group(self.target, self.read_body()["user"], actor=request.user)
        return Response(status=204)


class RoleViewSet(RoomViewSet):
    """The built-in roles, and those that organizations made for themselves."""

    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    bodies = {"create": CreateRoleSerializer, "partial_update": ChangeRoleSerializer}
    answers = {"list": (200, RoleSerializer), "create": (201, RoleSerializer), "partial_update": (200, RoleSerializer),
               "destroy": (204, None)}
    permissions = {"list": SIGNED_IN, "retrieve": "member.view", "create": "member.manage", "partial_update": "member.manage",
                   "destroy": "member.manage"}
    ordering_fields: tuple[str, ...] = ()

    def list(self, request: Request) -> Response:
        made = self.get_queryset().order_by(F("name"), "pk")[:MOST_ROLES_SHOWN]
        return Response({"next": None, "previous": None, "results": [
            {"id": None, "name": role, "label": str(LABELS[role]), "organization": None,
             "permissions": sorted(permissions_of(role))} for role in ROLES] + [self.represent(role) for role in made]})

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.shown(self.target)

    def create(self, request: Request) -> Response:
        """A set of permissions that the caller holds in the whole organization."""
        values = self.read_body()
        self.require("member.manage", values["organization"])
        made = people.create_role(values["organization"], values["name"], values["permissions"], actor=request.user)
        return self.shown(made, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Bites at the next request of whoever has the role."""
        return self.shown(people.change_role(self.target, **self.read_body(), actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """The role with its bindings."""
        people.delete_role(self.target, actor=request.user)
        return Response(status=204)

    def represent(self, row: Role) -> dict[str, Any]:
        return {"id": row.pk, "name": str(row.pk), "label": row.name, "organization": row.organization_id,
                "permissions": row.permissions}

    def all_filters(self) -> dict[str, str]:
        return {}

    def searched(self) -> tuple[str, ...]:
        return ()


class InvitationViewSet(Listed, Fetched, RoomViewSet):
    """Whom the caller, or others who manage members there, invited; nobody else sees any."""

    queryset = Invitation.objects.select_related("organization", "project")
    serializer_class = InvitationSerializer
    bodies = {"create": CreateInvitationSerializer}
    answers = {"create": (201, InvitationSerializer), "destroy": (204, None), "resend": (200, InvitationSerializer)}
    errors = {"resend": (InvitationOver,)}
    permissions = {"list": SIGNED_IN, "retrieve": "member.manage", "create": "member.manage", "destroy": "member.manage",
                   "resend": "member.manage"}
    filters = {"organization": "organization_id", "project": "project_id", "email": "email"}
    search_fields = ("email",)
    ordering_fields = ("created_at",)

    def create(self, request: Request) -> Response:
        """Send a mail whose link gives the role to whoever opens it, once, within 7 days."""
        values = self.read_body()
        scope = one_of(values, "project", "organization")
        return self.shown(invitations.invite(values["email"], values["role"], scope, actor=request.user), status=201)

    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke it: the link is worth nothing from now on."""
        invitations.revoke(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="actions/resend")
    def resend(self, request: Request, pk: str) -> Response:
        """The mail again, with a new link; the old one is worth nothing."""
        return self.shown(invitations.resend(self.target, actor=request.user))
