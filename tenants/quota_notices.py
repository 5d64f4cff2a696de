"""Who is told of requests for higher limits: those who decide, and then whoever asked."""
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.limits import may_set_limits
from tenants.models import Organization, Project, QuotaRequest, User
from tenants.models.quotas import MANAGE


def _request(event: Any) -> QuotaRequest | None:
    return QuotaRequest.objects.select_related("organization", "project").filter(pk=UUID(event.after["request"])).first()


def deciders(event: Any) -> QuerySet[User]:
    """Whoever is bound to what is above the project as one who manages it; operators for an organization's. Not who asked."""
    request = _request(event)
    if request is None or request.project is None:
        return User.objects.filter(is_active=True, is_superuser=True).exclude(pk=event.actor_id)
    return people_who_may(MANAGE, request.organization_id, request.project.ancestor_ids[:-1]).exclude(pk=event.actor_id)


def who_asked(event: Any) -> QuerySet[User]:
    request = _request(event)
    asked = User.objects.filter(is_active=True).exclude(pk=event.actor_id)
    return asked.filter(pk=request.requested_by_id) if request else asked.none()


def still_decides(user: Any, notice: Any) -> bool:
    rows = Project.objects.living().select_related("organization", "parent")
    scope = rows.filter(pk=notice.project_id).first() if notice.project_id else Organization.objects.filter(
        pk=notice.organization_id).first()
    return scope is not None and may_set_limits(user, scope)


def still_sees(user: Any, notice: Any) -> bool:
    if notice.project_id:
        return user.grants.may("project.view", notice.project_id)
    return user.grants.may_in_organization("project.view", notice.organization_id)


KINDS = (
    NoticeKind(
        name="quota.asked", label=_("Requests for higher limits"), hint=_("Of what stands below that which you manage."),
        page="quota_requests:list", receivers=deciders, may_hear=still_decides, mail="now", acts={
            "quota.request": _("%(actor)s asks for a higher limit in %(place)s: %(reason)s")}),
    NoticeKind(
        name="quota.answered", label=_("Answers to my requests for higher limits"), hint=_("Granted or refused."),
        page="quota_requests:list", receivers=who_asked, may_hear=still_sees, mail="now", acts={
            "quota.grant": _("%(actor)s raised a limit in %(place)s that you asked for."),
            "quota.refuse": _("%(actor)s refused a higher limit in %(place)s: %(reason)s")}),
)
