"""Verbs on people: who has which role where, members, groups and roles of an organization, leaving, and being forgotten.

The caller has checked `member.manage` where the role is given or taken. What is checked here is what a right to manage members
does not include: nobody gives or takes more than they hold themselves, nothing crosses organizations, and an organization
always has an owner who can sign in. Verbs that touch owners hold the organization's row.
"""
from collections.abc import Iterable
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group as DjangoGroup
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from portal.kernel import audit
from portal.kernel.declarations import ROLES, registry
from portal.kernel.errors import InvalidInput, QuotaExceeded
from tenants.access import require
from tenants.errors import LastOwner
from tenants.models import (
    ApiKey,
    Binding,
    BrowserSession,
    Group,
    Invitation,
    Organization,
    OrganizationUserBinding,
    Project,
    ProjectUserBinding,
    Role,
    ServiceUser,
    User,
)
from tenants.roles import bind, codename, forget, make_bindable, permissions_of, unbind

# More than anybody needs: roles and projects of their organizations are read for every request of a member.
MOST_GROUPS, MOST_ROLES, MOST_BINDINGS = 100, 50, 10_000
OWNER, ADMIN = "owner", "admin"
MANAGE = "member.manage"
Scope = Organization | Project


# -- what may be given --

def organization_of(scope: Scope) -> UUID:
    return scope.pk if isinstance(scope, Organization) else scope.organization_id


def permissions_in(organization_id: UUID, role: str) -> frozenset[str] | None:
    """What the role holds: a built-in one by its name, the organization's own by its id. None when there is no such role."""
    if role in ROLES:
        return permissions_of(role)
    try:
        found = Role.objects.filter(organization=organization_id, pk=UUID(role)).first()
    except ValueError:
        return None
    return None if found is None else frozenset(found.permissions)


def require_role(role: str, scope: Scope, *, actor: User) -> None:
    """Raise Forbidden unless the actor manages members of the scope and holds all there that the role does, InvalidInput for
    what is no role of the organization."""
    names = permissions_in(organization_of(scope), role)
    if names is None:
        raise InvalidInput.field("role", gettext("There is no such role."))
    require_permissions(names | {MANAGE}, scope, actor=actor)


def require_permissions(names: Iterable[str], scope: Scope, *, actor: User) -> None:
    """Raise Forbidden for the first that the actor does not hold in the scope."""
    for name in sorted(names):
        require(actor, name, scope)


# -- bindings --

@transaction.atomic
def give_role(role: str, scope: Scope, *, to: User | Group, actor: User) -> Binding:
    """Bind a member or a group of the organization to the role; again is success. Raises as `require_role` does, InvalidInput
    for somebody who is no member (they are invited) and for a group as owner."""
    organization = hold(organization_of(scope))
    require_role(role, scope, actor=actor)
    if role == OWNER and isinstance(scope, Project):
        raise InvalidInput.field("role", gettext("Owners are of a whole organization."))
    if isinstance(to, Group):
        if to.organization_id != organization.pk:
            raise InvalidInput.field("group", gettext("The group belongs to another organization."))
        if role == OWNER:
            raise InvalidInput.field("role", gettext("Owners are people, not groups."))
    elif role == OWNER and to.is_service:
        raise InvalidInput.field("role", gettext("Owners are people, not programs."))
    elif not is_member(to, organization):
        raise InvalidInput.field("user", gettext("Not a member of the organization: send an invitation."))
    check_number("bindings", organization, Binding.objects.filter(organization=organization), MOST_BINDINGS)
    bind(_bound(to), role, scope)
    audit.record("member.bind", scope, actor=actor, after=_names(role, to))
    where = {"project": scope} if isinstance(scope, Project) else {"organization": scope, "project": None}
    who = {"group": to} if isinstance(to, Group) else {"user": to}
    return Binding.objects.get(role=role, **where, **who)


@transaction.atomic
def take_role(binding: Binding, *, actor: User) -> None:
    """Undo a binding; again is success. Raises Forbidden for one that the actor could not give, LastOwner."""
    organization, to = hold(binding.organization_id), binding.user or binding.group
    require_role(binding.role, binding.scope, actor=actor)
    if binding.role == OWNER:
        _keep_an_owner(organization, without=binding.user)
    unbind(_bound(to), binding.role, binding.scope)
    audit.record("member.unbind", binding.scope, actor=actor, before=_names(binding.role, to))


@transaction.atomic
def transfer_ownership(organization: Organization, *, to: User, actor: User) -> None:
    """Make a member the owner, and the actor (who is an owner) an administrator. Raises as `require_role` does: who holds less
    than an owner makes nobody one, and least of all themselves. Operators do, for an organization whose owner is gone."""
    hold(organization.pk)
    if not actor.is_superuser:
        require_role(OWNER, organization, actor=actor)
    if not to.is_active or to.is_service or not is_member(to, organization):
        raise InvalidInput.field("user", gettext("Not a member of the organization: send an invitation."))
    bind(to, OWNER, organization)
    if to.pk != actor.pk and _is_owner(actor, organization):
        bind(actor, ADMIN, organization)
        unbind(actor, OWNER, organization)
    audit.record("organization.transfer", organization, actor=actor, after={"owner": str(to.pk)})


# -- members --

def bindings_of(user: User, organization: Organization) -> QuerySet[Binding]:
    """The user's own in the organization; what groups give is not among them."""
    return Binding.objects.filter(user=user, organization=organization)


def is_member(user: User, organization: Organization) -> bool:
    """Bound to the organization or a project of it, by themselves or by a group of its; or a service user of its projects."""
    if user.is_service:
        return ServiceUser.objects.filter(pk=user.pk, project__organization=organization, deleted_at=None).exists()
    return (bindings_of(user, organization).exists()
            or Group.objects.filter(organization=organization, auth_group__user=user).exists())


@transaction.atomic
def remove_member(user: User, organization: Organization, *, actor: User) -> None:
    """All bindings and groups of the user in the organization, at once; again is success. Whoever leaves by themselves needs no
    right. Raises Forbidden for a member who holds more than the actor, LastOwner."""
    hold(organization.pk)
    groups = Group.objects.filter(organization=organization, auth_group__user=user)
    found = list(bindings_of(user, organization).select_related("organization", "project"))
    if actor.pk != user.pk:
        for binding in found:
            require_role(binding.role, binding.scope, actor=actor)
        for group in groups:
            _require_group(group, actor=actor)
    _keep_an_owner(organization, without=user)
    if not found and not groups:
        return
    _unbind_all(user, organization)
    audit.record("member.leave" if actor.pk == user.pk else "member.remove", organization, actor=actor,
                 before={"user": str(user.pk), "roles": sorted({binding.role for binding in found})})


def _unbind_all(user: User, organization: Organization) -> None:
    """With the groups, and the keys that were of its projects alone."""
    OrganizationUserBinding.objects.filter(user=user, content_object=organization).delete()
    ProjectUserBinding.objects.filter(user=user, content_object__organization=organization).delete()
    user.groups.remove(*DjangoGroup.objects.filter(of_organization__organization=organization))
    ApiKey.objects.filter(owner=user, project__organization=organization, revoked_at=None).update(revoked_at=timezone.now())


# -- groups --

@transaction.atomic
def create_group(organization: Organization, name: str, *, actor: User) -> Group:
    """An empty group. Raises InvalidInput for a name that there is, QuotaExceeded beyond MOST_GROUPS."""
    hold(organization.pk)
    mine = Group.objects.filter(organization=organization)
    check_number("groups", organization, mine, MOST_GROUPS)
    _check_name(mine, name)
    group = Group(organization=organization, name=name)
    group.auth_group = DjangoGroup.objects.create(name=f"group {group.pk}")
    group.save(force_insert=True)
    audit.record("group.create", group, actor=actor, after={"name": name})
    return group


@transaction.atomic
def rename_group(group: Group, name: str, *, actor: User) -> Group:
    hold(group.organization_id)
    _check_name(Group.objects.filter(organization=group.organization_id).exclude(pk=group.pk), name)
    before, group.name = group.name, name
    group.save(update_fields=["name", "updated_at"])
    audit.record("group.change", group, actor=actor, before={"name": before}, after={"name": name})
    return group


@transaction.atomic
def delete_group(group: Group, *, actor: User) -> None:
    """The group with its bindings. Raises Forbidden when it is bound to more than the actor holds."""
    hold(group.organization_id)
    _require_group(group, actor=actor)
    audit.record("group.delete", group, actor=actor, before={"name": group.name})
    group.auth_group.delete()


@transaction.atomic
def add_to_group(group: Group, user: User, *, actor: User) -> None:
    """Again is success. Raises InvalidInput for somebody who is no member of the organization, Forbidden when the group is
    bound to more than the actor holds."""
    organization = hold(group.organization_id)
    _require_group(group, actor=actor)
    if not is_member(user, organization):
        raise InvalidInput.field("user", gettext("Not a member of the organization: send an invitation."))
    group.auth_group.user_set.add(user)
    audit.record("group.add", group, actor=actor, after={"user": str(user.pk)})


@transaction.atomic
def remove_from_group(group: Group, user: User, *, actor: User) -> None:
    """Again is success. Raises Forbidden when the group is bound to more than the actor holds."""
    hold(group.organization_id)
    _require_group(group, actor=actor)
    group.auth_group.user_set.remove(user)
    audit.record("group.remove", group, actor=actor, before={"user": str(user.pk)})


def _require_group(group: Group, *, actor: User) -> None:
    """Raise Forbidden unless the actor could give all that the group is bound to."""
    require_permissions([MANAGE], group.organization, actor=actor)
    for binding in Binding.objects.filter(group=group).select_related("organization", "project"):
        require_role(binding.role, binding.scope, actor=actor)


# -- roles of its own --

@transaction.atomic
def create_role(organization: Organization, name: str, permissions: Iterable[str], *, actor: User) -> Role:
    """A role of the organization's own. Raises Forbidden for what the actor does not hold in all of it, InvalidInput for a name
    that there is and for unknown permissions, QuotaExceeded beyond MOST_ROLES."""
    hold(organization.pk)
    mine = Role.objects.filter(organization=organization)
    check_number("roles", organization, mine, MOST_ROLES)
    _check_name(mine, name)
    role = Role(organization=organization, name=name, permissions=_known(permissions))
    require_permissions({*role.permissions, MANAGE}, organization, actor=actor)
    role.save(force_insert=True)
    make_bindable(str(role.pk))
    audit.record("role.create", role, actor=actor, after={"name": name, "permissions": role.permissions})
    return role


@transaction.atomic
def change_role(role: Role, *, actor: User, name: str | None = None, permissions: Iterable[str] | None = None) -> Role:
    """Bites at the next request of whoever is bound to it. Raises Forbidden unless the actor holds what it held and what it is
    to hold; else as `create_role`."""
    organization = hold(role.organization_id)
    role = Role.objects.select_for_update(no_key=True).get(pk=role.pk)
    before = {"name": role.name, "permissions": role.permissions}
    if name is not None:
        _check_name(Role.objects.filter(organization=organization).exclude(pk=role.pk), name)
        role.name = name
    if permissions is not None:
        role.permissions = _known(permissions)
    require_permissions({*before["permissions"], *role.permissions, MANAGE}, organization, actor=actor)
    role.save(update_fields=["name", "permissions", "updated_at"])
    audit.record("role.change", role, actor=actor, before=before, after={"name": role.name, "permissions": role.permissions})
    return role


@transaction.atomic
def delete_role(role: Role, *, actor: User) -> None:
    """The role with its bindings. Raises Forbidden unless the actor holds what it held."""
    organization = hold(role.organization_id)
    require_permissions({*role.permissions, MANAGE}, organization, actor=actor)
    audit.record("role.delete", role, actor=actor, before={"name": role.name, "permissions": role.permissions})
    forget(str(role.pk))
    role.delete()


def _known(permissions: Iterable[str]) -> list[str]:
    wanted = sorted(set(permissions))
    if unknown := [name for name in wanted if name not in registry.permissions]:
        raise InvalidInput.field("permissions", gettext("Unknown: {names}.").format(names=", ".join(unknown)))
    if not wanted:
        raise InvalidInput.field("permissions", gettext("Choose at least one."))
    return wanted


# -- the person --

@transaction.atomic
def set_active(user: User, wanted: bool, *, actor: User) -> None:
    """Lock out or let in. Raises LastOwner."""
    if not wanted:
        _keep_owners(user)
    User.objects.filter(pk=user.pk).update(is_active=wanted)
    audit.record("user.update", user, actor=actor, before={"is_active": user.is_active}, after={"is_active": wanted})


@transaction.atomic
def delete_account(user: User) -> None:
    """Forget the person, by their own wish: name, addresses, sign-in, keys, bindings, invitations. What they did and what was
    paid for stays, under a name that says nothing. Raises LastOwner."""
    for organization in _keep_owners(user):
        _unbind_all(user, organization)
    for table in (OrganizationUserBinding, ProjectUserBinding):
        table.objects.filter(user=user).delete()
    addresses = {user.email, *EmailAddress.objects.filter(user=user).values_list("email", flat=True)} - {""}
    for name in {user.username, *addresses}:
        for log in (AccessAttempt, AccessFailureLog, AccessLog):
            log.objects.filter(username__iexact=name).delete()
        Invitation.objects.filter(email__iexact=name).update(email="")
    Invitation.objects.filter(accepted_by=user).update(email="")
    EmailAddress.objects.filter(user=user).delete()
    Authenticator.objects.filter(user=user).delete()
    SocialAccount.objects.filter(user=user).delete()
    BrowserSession.objects.filter(user=user).delete()
    ApiKey.objects.filter(owner=user, revoked_at=None).update(revoked_at=timezone.now())
    ApiKey.objects.filter(owner=user).update(name="–")
    user.groups.clear()
    user.user_permissions.clear()
    user.username, user.first_name, user.last_name, user.email = f"deleted-{user.pk.hex}", "", "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.set_unusable_password()  # which also ends every session
    user.save()
    audit.record("user.delete", user, actor=user, after={"erased": audit.erase_names(user)})


# -- organizations and their owners --

def hold(organization_id: UUID) -> Organization:
    """Under its lock: one at a time decides who is in an organization, and as what."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization_id)


def check_number(resource: str, organization: Organization, rows: QuerySet, limit: int) -> None:
    """Raise QuotaExceeded when there is no room for one more. The caller holds the organization."""
    if (used := rows.count()) >= limit:
        raise QuotaExceeded(resource=resource, scope=organization.name, limit=limit, used=used, wanted=1)


def owners(organization: Organization) -> QuerySet[User]:
    """Those who can sign in."""
    return User.objects.people().filter(is_active=True, pk__in=OrganizationUserBinding.objects.filter(
        content_object=organization, permission__codename=codename(OWNER)).values("user_id"))


def _is_owner(user: User, organization: Organization) -> bool:
    return owners(organization).filter(pk=user.pk).exists()


def _keep_an_owner(organization: Organization, *, without: User) -> None:
    """Raise LastOwner when nobody else owns it. The caller holds the organization."""
    found = set(owners(organization).values_list("pk", flat=True))
    if found == {without.pk}:
        raise LastOwner(organization=organization.name)


def _keep_owners(user: User) -> list[Organization]:
    """Every organization of the user, held in one order; raises LastOwner for the first that nobody else owns."""
    owned = OrganizationUserBinding.objects.filter(user=user).values("content_object_id")
    groups = Group.objects.filter(auth_group__user=user).values("organization_id")
    projects = ProjectUserBinding.objects.filter(user=user).values("content_object__organization_id")
    found = list(Organization.objects.select_for_update(no_key=True).order_by("pk").filter(
        Q(pk__in=owned) | Q(pk__in=groups) | Q(pk__in=projects)))
    for organization in found:
        _keep_an_owner(organization, without=user)
    return found


def _check_name(others: QuerySet, name: str) -> None:
    if others.filter(name=name).exists():
        raise InvalidInput.field("name", gettext("There is one of this name."))


def _bound(to: User | Group) -> User | DjangoGroup:
    return to.auth_group if isinstance(to, Group) else to


def _names(role: str, to: User | Group) -> dict[str, str]:
    """For the audit trail, by ids: names of people are not kept where they cannot be erased."""
    return {"role": role, "group" if isinstance(to, Group) else "user": str(to.pk)}
