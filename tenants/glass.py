"""Breaking the glass: an operator reaches into what belongs to a tenant, for a reason that the tenant reads, and a while.

`settings.BREAK_GLASS` says what is guarded: the consoles of tenants' instances, or all that changes anything of theirs on pages
and by the API. Reading is not, nor are the operators' own verbs in admin and on `/operator/`. Where operators have a role by a
binding, as anybody might, they need nothing else.
"""
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext

from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.states import database_now
from tenants.models import BreakGlass, Organization, Project, User

CONSOLE = "instance.console"
LONGEST = timedelta(hours=4)


def is_guarded(permission: str) -> bool:
    if settings.BREAK_GLASS == "changes":
        return not permission.endswith(".view")
    return permission == CONSOLE


class Glass:
    """Where one operator may do what is guarded, asked of the database once for each place."""

    def __init__(self, operator: User, own: Callable[[User], Any]) -> None:
        """`own` gives the Grants of the operator's own bindings."""
        self._operator, self._own = operator, own
        self._broken: dict[tuple[UUID | None, UUID | None], bool] = {}
        self._grants: Any = None

    def lets(self, permission: str, *, project_id: UUID | None = None, organization_id: UUID | None = None) -> bool:
        if not is_guarded(permission) or (project_id is None and organization_id is None):
            return True
        place = (project_id, organization_id)
        if place not in self._broken:
            self._broken[place] = _covering(self._operator.pk, project_id, organization_id)
        if self._broken[place]:
            return True
        self._grants = self._grants or self._own(self._operator)
        return (self._grants.may(permission, project_id) if project_id
                else self._grants.may_in_organization(permission, organization_id))

    def lets_with(self, permission: str, subject: Any) -> bool:
        """The same of a row: its project, else its organization; what belongs to neither is nobody's."""
        if not is_guarded(permission):
            return True
        if isinstance(subject, Organization):
            return self.lets(permission, organization_id=subject.pk)
        project_id = subject.pk if isinstance(subject, Project) else getattr(subject, "project_id", None)
        return self.lets(permission, project_id=project_id,
                         organization_id=None if project_id else getattr(subject, "organization_id", None))


def _covering(operator_id: UUID, project_id: UUID | None, organization_id: UUID | None) -> bool:
    live = BreakGlass.objects.live().filter(operator=operator_id, operator__is_active=True, operator__is_superuser=True)
    if project_id is None:
        return live.filter(project=None, organization=organization_id).exists()
    found = Project.objects.filter(pk=project_id).values_list("organization_id", "path").first()
    if found is None:
        return False
    return live.filter(Q(project=None, organization=found[0]) | Q(project__in=found[1])).exists()


@transaction.atomic
def break_glass(organization: Organization, *, reason: str, duration: timedelta, actor: User,
                project: Project | None = None) -> BreakGlass:
    """From now on `actor`, a superuser, may do there what is guarded. Raises InvalidInput without a reason, for a project of
    another organization, and for longer than LONGEST."""
    reason = reason.strip()
    if not reason:
        raise InvalidInput.field("reason", gettext("Say why: the tenant reads it."))
    if not timedelta(minutes=1) <= duration <= LONGEST:
        raise InvalidInput.field("minutes", gettext("Between 1 and {most}.").format(most=LONGEST // timedelta(minutes=1)))
    if project is not None and project.organization_id != organization.pk:
        raise InvalidInput.field("project", gettext("The project belongs to another organization."))
    now = database_now()
    row = BreakGlass.objects.create(operator=actor, organization=organization, project=project, reason=reason, started_at=now,
                                    expires_at=now + duration)
    audit.record("break_glass.open", project or organization, actor=actor, after={
        "reason": reason, "until": row.expires_at, "access": str(row.pk)})
    return row


@transaction.atomic
def end(access: BreakGlass, *, actor: User) -> BreakGlass:
    """Before its time; again is success. One whose time is over is left as it is."""
    now = database_now()
    if BreakGlass.objects.filter(pk=access.pk, ended_at=None, expires_at__gt=now).update(ended_at=now):
        audit.record("break_glass.end", access.project or access.organization, actor=actor, after={"access": str(access.pk)})
    access.refresh_from_db(fields=["ended_at"])
    return access


def visible_live(user: User, *, most: int = 5) -> list[BreakGlass]:
    """The live ones that the user may know of, for a banner."""
    rows = BreakGlass.objects.visible_to(user).live().select_related("operator", "organization", "project")
    return list(rows.order_by(F("expires_at").desc(), "pk")[:most])
