"""Who may do what: one policy, one door.

`fetch` is how a view, API action, form or socket gets an object: hidden answers NotFound, visible but not allowed
Forbidden. `Grants` resolves a user's bindings once per request. Nothing else in the repository decides access.
"""
import json
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import JSONField, Q, QuerySet, UUIDField, Value
from django.db.models.functions import Cast

from portal.kernel.composed import Composed
from portal.kernel.errors import Forbidden, NotFound, PortalError
from tenants.errors import GlassUnbroken, MfaRequired, OrganizationSuspended
from tenants.factors import has_factor, without_factor
from tenants.glass import Glass
from tenants.models import (
    Organization,
    OrganizationGroupBinding,
    OrganizationUserBinding,
    Project,
    ProjectGroupBinding,
    ProjectUserBinding,
    Role,
)
from tenants.roles import codename, permissions_of, role_of

ORGANIZATION, PROJECT, PLACED, ROLE = "organization", "project", "placed", "role"
SUSPENDED, LOCKED = "suspended", "locked"
BINDINGS = ((ORGANIZATION, OrganizationUserBinding, "user"), (ORGANIZATION, OrganizationGroupBinding, "group__user"),
            (PROJECT, ProjectUserBinding, "user"), (PROJECT, ProjectGroupBinding, "group__user"))
OF_PEOPLE = frozenset({"member.view", "member.manage"})
OF_ORGANIZATIONS = frozenset({"webhook.view", "webhook.manage", "billing.manage", "budget.manage"})
"""Where the subject has no project, these are asked of its whole organization."""


@dataclass(frozen=True)
class Grants:
    """project id → permission names, for one principal in one request."""

    by_project: dict[UUID, frozenset[str]]
    organization_ids: frozenset[UUID]
    organization_wide: dict[UUID, frozenset[str]]
    sees_everything: bool = False
    around: dict[UUID, frozenset[str]] = field(default_factory=dict)
    """organization id → what is held in it as a whole or in any of its projects."""
    paths: dict[UUID, list[str]] = field(default_factory=dict)
    """project id → ids from the root project to it, of those in `by_project`."""
    glass: Glass | None = None
    """Of who sees everything: where they may do what is guarded."""
    suspended: frozenset[UUID] = frozenset()
    """Ids of organizations in which nothing but looking is left of everybody's rights."""
    locked: frozenset[UUID] = frozenset()
    """Ids of organizations that require a second factor, which the user has not set up: nothing is held in them until then."""
    behind: "Grants | None" = None
    """What would be held with a second factor, where it is required and missing."""

    @classmethod
    def nothing(cls) -> "Grants":
        return cls({}, frozenset(), {})

    @classmethod
    def of_user(cls, user) -> "Grants":
        """Bindings of the user and their groups on organizations and projects, inherited downwards."""
        if not user.is_active:
            return cls.nothing()
        if user.is_superuser:
            everything = cls({}, frozenset(), {}, sees_everything=True, glass=Glass(user, cls._of_bindings))
            is_locked = settings.OPERATORS_REQUIRE_MFA and not has_factor(user)
            return replace(cls.nothing(), behind=everything) if is_locked else everything
        return cls._of_bindings(user)

    @classmethod
    def _of_bindings(cls, user) -> "Grants":
        on_organizations, on_projects, projects, suspended, locked = _bindings(user)
        if not locked:
            return cls._inherit(on_organizations, on_projects, projects, suspended)
        behind = cls._inherit(dict(on_organizations), on_projects, projects, suspended)
        left = cls._inherit({pk: names for pk, names in on_organizations.items() if pk not in locked}, on_projects,
                            [one for one in projects if one[1] not in locked], suspended)
        return replace(left, locked=locked, behind=behind)

    @classmethod
    def _inherit(cls, on_organizations: "Bound", on_projects: "Bound", projects: "Placed",
                 suspended: frozenset[UUID] = frozenset()) -> "Grants":
        for pk in suspended & on_organizations.keys():
            on_organizations[pk] = _looking(on_organizations[pk])
        around, by_project, paths = dict(on_organizations), {}, {}
        for pk, organization_id, path in projects:
            known = around.setdefault(organization_id, frozenset())
            names = on_organizations.get(organization_id, frozenset())
            for ancestor in path:
                names |= on_projects.get(UUID(ancestor), frozenset())
            if organization_id in suspended:
                names = _looking(names)
            if names:
                by_project[pk], paths[pk] = names, path
                if not names <= known:
                    around[organization_id] = known | names
        return cls(by_project, frozenset(around), on_organizations, around=around, paths=paths, suspended=suspended)

    def narrowed_by(self, key) -> "Grants":
        """What an API key leaves of its owner's rights."""
        return self.narrowed(scopes=key.scopes, project_id=key.project_id, includes_below=key.includes_below)

    def narrowed(self, *, scopes: list[str], project_id: UUID | None, includes_below: bool = False) -> "Grants":
        """What is left of these actions in this area: everywhere, a project, or a project and all below it."""
        if self.sees_everything:
            # An operator's key still sees everything unless it is scoped; a project-bound one is not for operators.
            return self if not scopes and project_id is None else Grants.nothing()
        kept = {pk: names & frozenset(scopes) if scopes else names for pk, names in self.by_project.items()
                if project_id in (None, pk) or (includes_below and str(project_id) in self.paths[pk])}
        wide = self.organization_wide if project_id is None else {}
        wide = {pk: names & frozenset(scopes) if scopes else names for pk, names in wide.items()}
        # Bound to a project, it sees that project and nothing else of the organization: no members, no siblings.
        organizations = self.organization_ids if project_id is None else frozenset()
        around = self.around if project_id is None else {}
        around = {pk: names & frozenset(scopes) if scopes else names for pk, names in around.items()}
        behind = self.behind and self.behind.narrowed(scopes=scopes, project_id=project_id, includes_below=includes_below)
        return Grants({pk: names for pk, names in kept.items() if names}, organizations, wide, around=around,
                      paths=self.paths, suspended=self.suspended, locked=self.locked, behind=behind)

    def without(self, names: frozenset[str]) -> "Grants":
        """All but these."""
        projects, wide, around = ({pk: held - names for pk, held in table.items()}
                                  for table in (self.by_project, self.organization_wide, self.around))
        return replace(self, by_project={pk: held for pk, held in projects.items() if held}, organization_wide=wide,
                       around=around, behind=self.behind and self.behind.without(names))

    def projects(self, permission: str) -> set[UUID]:
        """Ids of the projects in which the permission is held."""
        return {pk for pk, names in self.by_project.items() if permission in names}

    def organizations(self, permission: str) -> set[UUID]:
        """Ids of the organizations in which the permission is held, in all of it or in some project."""
        return {pk for pk, names in self.around.items() if permission in names}

    def may(self, permission: str, project_id: UUID) -> bool:
        if self.sees_everything:
            return self.glass is None or self.glass.lets(permission, project_id=project_id)
        return permission in self.by_project.get(project_id, frozenset())

    def may_anywhere(self, permission: str) -> bool:
        held = (self.by_project, self.organization_wide)
        return self.sees_everything or any(permission in names for table in held for names in table.values())

    def allows(self, permission: str, subject: object) -> bool:
        """Whether the subject's project (or the organization itself) grants the permission."""
        if self.sees_everything:
            return self.glass is None or self.glass.lets_with(permission, subject)
        if getattr(subject, "is_public", False) and permission == subject.declared.permission:
            return True  # what is shared beyond its project is there to be looked at
        if subject._meta.label == "tenants.Organization":
            return self.may_in_organization(permission, subject.pk)
        project_id = subject.pk if subject._meta.label == "tenants.Project" else getattr(subject, "project_id", None)
        if project_id is None and permission in OF_PEOPLE:
            return self.may_with_people(permission, subject)
        if project_id is None and permission in OF_ORGANIZATIONS:
            return self.may_in_organization(permission, subject.organization_id)
        return project_id is None or self.may(permission, project_id)

    def may_with_people(self, permission: str, subject: object) -> bool:
        """Groups, roles, and bindings of a whole organization: looked at by whoever may in any of its projects, which inherit
        them; changed by who may in all of it. A person is of many organizations: which one is meant is for the verb to ask."""
        organization_id = getattr(subject, "organization_id", None)
        if organization_id is None or permission == "member.view":
            return self.may_anywhere(permission)
        return self.may_in_organization(permission, organization_id)

    def may_in_organization(self, permission: str, organization_id: UUID) -> bool:
        if self.sees_everything:
            return self.glass is None or self.glass.lets(permission, organization_id=organization_id)
        return permission in self.organization_wide.get(organization_id, frozenset())

    def is_held_behind(self, permission: str, subject: object = None) -> bool:
        """Whether a second factor would give the permission on the subject (or anywhere)."""
        behind = self.behind
        return behind is not None and (behind.may_anywhere(permission) if subject is None else behind.allows(permission, subject))

    def absence(self, user, rows: "Callable[[object], QuerySet]") -> PortalError:
        """What to raise where `rows(user)`, which asks `visible_to`, has none."""
        if self.behind is None:
            return NotFound()
        unlocked = copy(user)
        unlocked.grants = self.behind
        return MfaRequired() if rows(unlocked).exists() else NotFound()

    def refusal(self, permission: str, subject: object = None) -> Forbidden:
        """What to raise where the permission is not held on the subject (or anywhere)."""
        if self.sees_everything:
            return GlassUnbroken(permission=permission)
        if self.is_held_behind(permission, subject):
            return MfaRequired(permission=permission)
        project = getattr(subject, "project", None)
        organization_id = getattr(project or subject, "organization_id", None)
        if isinstance(subject, Organization):
            organization_id = subject.pk
        # A person, say, is of no organization: it is the suspension that refuses where the caller has no other.
        is_suspended = organization_id in self.suspended if organization_id else self.suspended >= self.around.keys()
        if is_suspended and self.suspended and not _looking({permission}):
            return OrganizationSuspended(permission=permission)
        return Forbidden(permission=permission)


def _looking(names: Iterable[str]) -> frozenset[str]:
    """What is left in a suspended organization: to look, and to revoke one's own keys."""
    return frozenset(name for name in names if name.endswith(".view") or name == "apikey.manage")


Bound = dict[UUID, frozenset[str]]
Placed = list[tuple[UUID, UUID, list[str]]]
"""Projects, with their organization and the ids from the root project down to themselves."""


def _bindings(user) -> tuple[Bound, Bound, Placed, frozenset[UUID], frozenset[UUID]]:
    """What the user's own bindings and those of the user's groups grant on organizations and on projects, the projects of
    all organizations concerned, and which of these are suspended, or locked to who has no second factor; one statement, since
    every request asks it."""
    bound: list[tuple[str, UUID, str]] = []
    made: dict[str, frozenset[str]] = {}
    placed: Placed = []
    suspended, locked = set(), set()
    for level, pk, role, organization_id, listed in AROUND.rows(user_id=user.pk):
        if level == PLACED:
            placed.append((pk, organization_id, json.loads(listed)))
        elif level == ROLE:
            made[codename(str(pk))] = frozenset(json.loads(listed))
        elif level == SUSPENDED:
            suspended.add(pk)
        elif level == LOCKED:
            locked.add(pk)
        else:
            bound.append((level, pk, role))
    found: dict[str, Bound] = {ORGANIZATION: {}, PROJECT: {}}
    for level, pk, role in bound:
        names = made[role] if role in made else permissions_of(role_of(role))
        found[level][pk] = found[level].get(pk, frozenset()) | names
    return found[ORGANIZATION], found[PROJECT], placed, frozenset(suspended), frozenset(locked)


def _around(user_id: UUID) -> QuerySet:
    rows = [model.objects.filter(**{owner: user_id}).values_list(
        Value(level), "content_object_id", "permission__codename", Cast(None, UUIDField()), Cast(None, JSONField()))
        for level, model, owner in BINDINGS]
    return rows[0].union(*rows[1:], *_organizations_around(user_id), all=True)


def _organizations_around(user_id: UUID) -> tuple[QuerySet, ...]:
    """Every project, and every role of its own, of the organizations in which the user is bound to anything; and those of the
    organizations that are suspended, or require a second factor that the user does not have."""
    bound, itself = Q(), Q()
    for level, model, owner in BINDINGS:
        scopes = model.objects.filter(**{owner: user_id}).order_by()
        scopes = scopes.values("content_object" if level == ORGANIZATION else "content_object__organization")
        bound, itself = bound | Q(organization__in=scopes), itself | Q(pk__in=scopes)
    projects = Project.objects.living().filter(bound).order_by().values_list(
        Value(PLACED), "pk", Value(""), "organization_id", "path")
    roles = Role.objects.filter(bound).order_by().values_list(Value(ROLE), "pk", Value(""), "organization_id", "permissions")
    shut = ((SUSPENDED, Organization.objects.filter(itself, suspended_at__isnull=False)),
            (LOCKED, Organization.objects.filter(itself, without_factor(user_id), requires_mfa=True)))
    return projects, roles, *(rows.order_by().values_list(
        Value(level), "pk", Value(""), Cast(None, UUIDField()), Cast(None, JSONField())) for level, rows in shut)


AROUND = Composed(_around, user_id=UUID)


def fetch(user, queryset: QuerySet, permission: str, **lookup: object):
    """The object, if visible (else NotFound) and if its project grants `permission` (else Forbidden)."""
    try:
        found = queryset.visible_to(user).filter(**lookup).first()
    except (ValueError, TypeError, ValidationError) as error:  # an id that is no id is as absent as any other
        raise NotFound from error
    if found is None:
        raise user.grants.absence(user, lambda one: queryset.visible_to(one).filter(**lookup))
    require(user, permission, found)
    return found


def require(user, permission: str, subject: object) -> None:
    """Raise Forbidden unless `user` holds `permission` in the subject's project (or organization)."""
    if not user.grants.allows(permission, subject):
        raise user.grants.refusal(permission, subject).about(subject)


def projects_ever(user, permission: str) -> set[UUID]:
    """Ids of the projects in which the permission is held, and of deleted ones in which it was held by what is above them: for
    history, such as what they cost. One statement."""
    grants = user.grants
    held = grants.projects(permission)
    above = held | {pk for pk, names in grants.organization_wide.items() if permission in names}
    return held | {pk for pk, organization_id, path in GONE.rows(organizations=list(grants.organization_ids))
                   if not above.isdisjoint((organization_id, *map(UUID, json.loads(path))))}


GONE = Composed(lambda organizations: Project.objects.filter(
    deleted_at__isnull=False, organization__any_of=organizations).order_by().values_list("pk", "organization_id", "path"),
    organizations=list[UUID])


def require_below(user, permission: str, project: Project) -> None:
    """Raise Forbidden unless `user` holds `permission` in the project and in all below it, as a key of one project does not."""
    for one in Project.objects.living().below(project).only("pk", "organization"):
        require(user, permission, one)


def require_move(user, project: Project, parent: Project | None) -> None:
    """Raise Forbidden unless `user` manages what moves and, where that is another place, where it stands and where it is to
    stand (None: the organization)."""
    require_below(user, "project.manage", project)
    if project.parent == parent:
        return
    for place in (project.parent, parent):
        require(user, "project.manage", place or project.organization)


class Known:
    """`fetch` by id, composed once, for pages that are asked for all the time. Kinds that are visible by project alone."""

    def __init__(self, rows: Callable[[], QuerySet]) -> None:
        self._rows = rows
        self._all = Composed(lambda pk: rows().live().filter(pk=pk), pk=UUID)
        self._seen = Composed(lambda pk, projects: rows().live().filter(pk=pk, project__any_of=projects),
                              pk=UUID, projects=list[UUID])

    def fetch(self, user, permission: str, pk: UUID):
        """As the other `fetch`; `permission` is what seeing the kind needs."""
        found = self._all.models(pk=pk) if user.grants.sees_everything else self._seen.models(
            pk=pk, projects=list(user.grants.projects(permission)))
        if not found:
            raise user.grants.absence(user, lambda one: self._rows().live().visible_to(one).filter(pk=pk))
        return found[0]
