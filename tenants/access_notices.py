"""What people are told of operators who reach into what is theirs, and of keys that are about to expire."""
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.models import ApiKey, ServiceUser, User
from tenants.notices import affected, owners, still_owns
from tenants.people import MANAGE


def those_concerned(event: Any) -> QuerySet[User]:
    """Owners of the organization, and the user as whom somebody acts."""
    return User.objects.filter(Q(pk__in=owners(event).values("pk")) | Q(pk__in=affected(event).values("pk")))


def is_concerned(user: Any, notice: Any) -> bool:
    """What was done as oneself is told whatever one may still see; the rest to owners."""
    return notice.act.startswith("impersonation.") or still_owns(user, notice)


def holders(event: Any) -> QuerySet[User]:
    """The key's owner; of a service user, whoever may make a new one: those who manage members where it is."""
    key = ApiKey.objects.filter(pk=event.target_id).select_related("owner").first()
    if key is None:
        return User.objects.none()
    if not key.owner.is_service:
        return User.objects.filter(pk=key.owner_id, is_active=True)
    project = ServiceUser.objects.select_related("project").get(pk=key.owner_id).project
    managers = people_who_may(MANAGE, project.organization_id, project.ancestor_ids)
    return User.objects.people().filter(pk__in=managers.values("pk"))


def may_hear_of_key(user: Any, notice: Any) -> bool:
    """Whoever has no right to any key any more is told nothing of them."""
    return user.grants.may_anywhere("apikey.manage")


KINDS = (
    NoticeKind(
        name="security.operators", label=_("Operators in my organizations"), page="audit:list", mail="now", is_fixed=True,
        hint=_("When somebody who runs the site opens an emergency access, or looks at the portal as one of you."),
        receivers=those_concerned, may_hear=is_concerned, acts={
            "break_glass.open": _("%(actor)s, who runs this site, opened an emergency access to “%(target)s”: %(reason)s"),
            "break_glass.end": _("%(actor)s ended the emergency access to “%(target)s”."),
            "impersonation.start": _("%(actor)s, who runs this site, looks at the portal as one of you: %(reason)s")}),
    NoticeKind(
        name="keys.expiring", label=_("API keys that expire"), hint=_("A week before, to whoever can renew them."),
        page="api_keys:list", receivers=holders, may_hear=may_hear_of_key, mail="now", acts={
            "apikey.expiring": _("The API key “%(target)s” expires within a week.")}),
)
