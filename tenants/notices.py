"""What people are told of that happens to them and to their organizations: declared here, sent by `portal.notices`.

Whoever did it is not told that they did, save where an account or a whole organization is at stake: a thief is somebody
else with the same name.
"""
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from tenants.models import ApiKey, Group, OrganizationUserBinding, User
from tenants.roles import codename

RUNNING = ("owner", "admin")


# -- who --

def account_holder(event: Any) -> QuerySet[User]:
    """The person whose account it is about, whether they can still sign in or not."""
    return User.objects.filter(pk=_uuid(event.target_id)) if event.target_type == "user" else User.objects.none()


def key_owner(event: Any) -> QuerySet[User]:
    return User.objects.filter(pk__in=ApiKey.objects.filter(pk=_uuid(event.target_id)).values("owner"))


def affected(event: Any) -> QuerySet[User]:
    """Who was given or lost something, by themselves or by their group; not whoever did it."""
    named = (event.after or {}) | (event.before or {})
    people = Q(pk=_uuid(named.get("user")))
    if group := _uuid(named.get("group")):
        people |= Q(groups__in=Group.objects.filter(pk=group).values("auth_group"))
    found = User.objects.filter(people, is_active=True).exclude(pk=event.actor_id)
    return User.objects.filter(pk__in=found.values("pk"))


def owners(event: Any) -> QuerySet[User]:
    """Owners of the organization, with whoever was one until now and did it."""
    if event.organization_id is None:
        return User.objects.none()
    owning = OrganizationUserBinding.objects.filter(content_object=event.organization_id,
                                                    permission__codename=codename("owner"))
    handed_over = Q(pk=event.actor_id) if event.action == "organization.transfer" else Q()
    return User.objects.filter(Q(pk__in=owning.values("user_id")) | handed_over, is_active=True)


def running_it(event: Any) -> QuerySet[User]:
    """Owners and administrators of the whole organization, but not whoever did it."""
    bound = OrganizationUserBinding.objects.filter(content_object=event.organization_id,
                                                   permission__codename__in=[codename(role) for role in RUNNING])
    return User.objects.filter(pk__in=bound.values("user_id"), is_active=True).exclude(pk=event.actor_id)


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


# -- whether still --

def about_themselves(user: Any, notice: Any) -> bool:
    """What happened to one's own account or roles is told whatever one may still see."""
    return True


def still_owns(user: Any, notice: Any) -> bool:
    """Owners of the organization, suspended or not; whoever handed it over hears of just that."""
    owning = OrganizationUserBinding.objects.filter(user=user, content_object=notice.organization_id)
    return notice.act == "organization.transfer" or owning.filter(permission__codename=codename("owner")).exists()


def still_manages_members(user: Any, notice: Any) -> bool:
    return user.grants.may_in_organization("member.manage", notice.organization_id)


KINDS = (
    NoticeKind(
        name="security.account", label=_("My account"), page="profile:page",
        hint=_("Sign-in with a new browser; locked or opened again; new API keys of yours. Of passwords, addresses and two-step "
               "sign-in a mail comes as well."),
        receivers=lambda event: key_owner(event) if event.target_type == "apikey" else account_holder(event),
        may_hear=about_themselves, mail="now", is_fixed=True, acts={
            "user.update": _("Your account was changed by %(actor)s: it was locked, or opened again."),
            "user.new_browser": _("Sign-in to your account with a new browser: %(reason)s. Was it not you? Change your "
                                  "password."),
            "apikey.create": _("An API key was made for your account: “%(target)s”.")}),
    NoticeKind(
        name="security.roles", label=_("My roles"), hint=_("Roles and groups that you are given or lose."), page="profile:page",
        receivers=affected, may_hear=about_themselves, mail="now", is_fixed=True, acts={
            "member.bind": _("%(actor)s gave you a role in %(place)s: %(role)s."),
            "member.unbind": _("%(actor)s took a role in %(place)s away from you: %(role)s."),
            "member.remove": _("%(actor)s removed you from %(place)s."),
            "group.add": _("%(actor)s added you to the group “%(target)s” of %(place)s."),
            "group.remove": _("%(actor)s took you out of the group “%(target)s” of %(place)s.")}),
    NoticeKind(
        name="security.organization", label=_("Ownership and suspension"), hint=_("Of organizations that you own."),
        page="organizations:list", receivers=owners, may_hear=still_owns, mail="now", is_fixed=True, acts={
            "organization.transfer": _("%(place)s was handed over to another owner by %(actor)s."),
            "organization.suspend": _("%(place)s was suspended: %(reason)s"),
            "organization.resume": _("%(place)s is no longer suspended.")}),
    NoticeKind(
        name="people", label=_("People of my organizations"), hint=_("Who joins and who leaves, for those who run them."),
        page="members:list", receivers=running_it, may_hear=still_manages_members, mail="daily", acts={
            "invitation.accept": _("%(actor)s accepted the invitation to %(place)s."),
            "member.leave": _("%(actor)s left %(place)s.")}),
)
