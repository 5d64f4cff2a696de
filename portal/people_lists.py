"""What the lists of people show: members, groups, invitations. The pages are in `portal.views.people` and `.groups`."""
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.lists import Column, Empty, Text
from tenants import invitations
from tenants.bulk import BulkVerb
from tenants.lists import CREATED, ID, NAME, Listing
from tenants.models import Binding, Group, Invitation, Role, User
from tenants.people import MANAGE
from tenants.roles import LABELS

INVITE = Empty(icon="users", title=_("Nobody else yet"), text=_("People whom you invite get a mail with a link."),
               action=_("Invite"), url_name="members:invite", permission=MANAGE, command="mains member list")


@dataclass(frozen=True, kw_only=True)
class Held:
    """A binding as it is shown."""

    binding: Binding
    label: str
    is_whole: bool
    where: str


def shown(bindings: Iterable[Binding]) -> list[Held]:
    """Bindings with what people call their roles, in one further statement; they come with their organizations and projects."""
    found = list(bindings)
    labels = role_labels({binding.role for binding in found})
    return [Held(binding=one, label=labels.get(one.role, one.role), is_whole=one.project is None,
                 where=one.project.name if one.project else one.organization.name) for one in found]


def role_labels(roles: set[str]) -> dict[str, str]:
    """Role → what people call it."""
    own = [UUID(role) for role in roles - LABELS.keys() if len(role) == 36]
    named = Role.objects.filter(pk__in=own).values_list("pk", "name") if own else []
    return {name: str(label) for name, label in LABELS.items()} | {str(pk): name for pk, name in named}


@dataclass(frozen=True, kw_only=True)
class Member:
    """What a person is, as far as the reader may know it."""

    roles: list[Held]
    groups: list[str]

    @property
    def text(self) -> str:
        return "; ".join([*(f"{one.label}: {one.where}" for one in self.roles), *self.groups])


def read_members(rows: list[User], reader: User) -> list[Member]:
    """For a page of people: their roles and groups where the reader may see members; three statements."""
    by_user: dict[UUID, list[Held]] = defaultdict(list)
    bindings = Binding.objects.visible_to(reader).filter(user__in=[row.pk for row in rows])
    for held in shown(bindings.select_related("organization", "project").order_by("role", "pk")):
        by_user[held.binding.user_id].append(held)
    groups: dict[UUID, list[str]] = defaultdict(list)
    for pk, name in Group.objects.visible_to(reader).filter(auth_group__user__in=[row.pk for row in rows]).values_list(
            "auth_group__user", "name").order_by("name"):
        groups[pk].append(name)
    return [Member(roles=by_user[row.pk], groups=groups[row.pk]) for row in rows]


class PeopleList(Listing):
    """A list with ways to the others about people beside its title."""

    page_template = "tenants/list.html"

    @property
    def may_manage(self) -> bool:
        return self.user.grants.may_anywhere(MANAGE)


class MemberList(PeopleList):
    """Who is in the organizations that the user belongs to, and as what."""

    name, url_name, row_template = "members", "members:list", "tenants/_member_row.html"
    title, ordering = _("Members"), "username"
    columns = (
        ID, Column(label=_("Name"), sort="username", value=lambda line: line.row.username),
        Column(label=_("E-mail"), kind="wide-only", value=lambda line: line.row.email),
        Column(label=_("Roles"), value=lambda line: line.item.text),
        Column(label=_("Last sign-in"), kind="wide-only", value=lambda line: line.row.last_login))
    filters = (Text(name="name", label=_("Name contains …"), paths=("username", "first_name", "last_name"), starts=("email",)),)
    empty = INVITE

    def rows(self) -> QuerySet[User]:
        return User.objects.visible_to(self.user).people()

    def items(self, rows: list[User]) -> list[Member]:
        return read_members(rows, self.user)

    def name_of(self, row: User) -> str:
        return row.get_full_name() or row.username


class GroupList(PeopleList):
    """Groups of the organizations that the user belongs to."""

    name, url_name, row_template = "groups", "groups:list", "tenants/_group_row.html"
    title = _("Groups")
    columns = (
        ID, NAME, Column(label=_("Organization"), value=lambda line: line.row.organization.name),
        Column(label=_("Members"), kind="text-end", value=lambda line: line.item), CREATED)
    filters = (Text(name="name", label=_("Name contains …")),)
    empty = Empty(icon="users", title=_("No groups yet"), text=_("A role that is given to a group is its members'."),
                  action=_("Create group"), url_name="groups:create", permission=MANAGE, command="mains group list")

    def rows(self) -> QuerySet[Group]:
        return Group.objects.visible_to(self.user).select_related("organization")

    def items(self, rows: list[Group]) -> list[int]:
        counted = Group.objects.filter(pk__in=[row.pk for row in rows]).annotate(people=Count("auth_group__user"))
        people = dict(counted.values_list("pk", "people"))
        return [people.get(row.pk, 0) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An invitation as it is shown."""

    label: str
    state: str
    tone: str


TONES = {"pending": "busy", "accepted": "ok", "revoked": "off", "expired": "off"}
STATES = {"pending": _("Pending"), "accepted": _("Accepted"), "revoked": _("Revoked"), "expired": _("Expired")}


class InvitationList(PeopleList):
    """Whom the user, or others who manage members there, invited."""

    name, url_name, row_template = "invitations", "invitations:list", "tenants/_invitation_row.html"
    title, has_actions = _("Invitations"), True
    columns = (
        ID, Column(label=_("E-mail"), value=lambda line: line.row.email),
        Column(label=_("Role"), value=lambda line: line.item.label),
        Column(label=_("Where"), value=lambda line: str(line.row.project or line.row.organization)),
        Column(label=_("State"), value=lambda line: line.item.state),
        Column(label=_("Expires"), kind="wide-only extra", value=lambda line: line.row.expires_at), CREATED)
    filters = (Text(name="name", label=_("E-mail begins with …"), paths=(), starts=("email",)),)
    verbs = (BulkVerb(name="revoke", label=_("Revoke"), icon="ban", permission=MANAGE, is_bad=True,
                      effect=_("Their links are worth nothing from now on."),
                      act=lambda row, user: invitations.revoke(row, actor=user),
                      why_not=lambda row: "" if row.state == "pending" else STATES[row.state]),)
    empty = Empty(icon="mail", title=_("Nobody is invited"), text=INVITE.text, action=INVITE.action, url_name=INVITE.url_name,
                  permission=MANAGE, command="mains invitation list")

    def rows(self) -> QuerySet[Invitation]:
        return Invitation.objects.visible_to(self.user).select_related("organization", "project")

    def items(self, rows: list[Invitation]) -> list[Sent]:
        labels = role_labels({row.role for row in rows})
        return [Sent(label=labels.get(row.role, row.role), state=str(STATES[row.state]), tone=TONES[row.state]) for row in rows]

    def name_of(self, row: Invitation) -> str:
        return row.email


def own_roles(user: Any) -> list[Role]:
    """Of the organizations whose members the user may see."""
    return list(Role.objects.visible_to(user).select_related("organization").order_by("organization__name", "name")[:500])
