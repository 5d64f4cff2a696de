"""Who may do what: one policy, one door.

`fetch` is how a view, API action, form or socket gets an object: hidden answers NotFound, visible but not allowed
Forbidden. `Grants` resolves a user's bindings once per request. Nothing else in the repository decides access.
"""
import json
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import JSONField, Q, QuerySet, UUIDField, Value
from django.db.models.functions import Cast

from portal.kernel.composed import Composed
from portal.kernel.errors import Forbidden, NotFound
from tenants.models import (
    OrganizationGroupBinding,
    OrganizationUserBinding,
    Project,
    ProjectGroupBinding,
    ProjectUserBinding,
)
from tenants.roles import permissions_of, role_of

ORGANIZATION, PROJECT, PLACED = "organization", "project", "placed"
BINDINGS = ((ORGANIZATION, OrganizationUserBinding, "user"), (ORGANIZATION, OrganizationGroupBinding, "group__user"),
            (PROJECT, ProjectUserBinding, "user"), (PROJECT, ProjectGroupBinding, "group__user"))

@dataclass(frozen=True)
class Grants:
    """project id → permission names, for one principal in one request."""

    by_project: dict[UUID, frozenset[str]]
    organization_ids: frozenset[UUID]
    organization_wide: dict[UUID, frozenset[str]]
    sees_everything: bool = False

    @classmethod
    def nothing(cls) -> "Grants":
        return cls({}, frozenset(), {})

    @classmethod
    def of_user(cls, user) -> "Grants":
        """Bindings of the user and their groups on organizations and projects, inherited downwards."""
        if not user.is_active:
            return cls.nothing()
        if user.is_superuser:
            return cls({}, frozenset(), {}, sees_everything=True)
        return cls._inherit(*_bindings(user))

    @classmethod
    def _inherit(cls, on_organizations: "Bound", on_projects: "Bound", projects: "Placed") -> "Grants":
        organizations, by_project = set(on_organizations), {}
        for pk, organization_id, path in projects:
            organizations.add(organization_id)
            names = on_organizations.get(organization_id, frozenset())
            for ancestor in path:
                names |= on_projects.get(UUID(ancestor), frozenset())
            if names:
                by_project[pk] = names
        return cls(by_project, frozenset(organizations), on_organizations)

    def narrowed(self, *, scopes: list[str], project_id: UUID | None) -> "Grants":
        """What an API key leaves of its owner's rights."""
        if self.sees_everything:
            # An operator's key still sees everything unless it is scoped; a project-bound one is not for operators.
            return self if not scopes and project_id is None else Grants.nothing()
        kept = {pk: names & frozenset(scopes) if scopes else names for pk, names in self.by_project.items()
                if project_id in (None, pk)}
        wide = self.organization_wide if project_id is None else {}
        wide = {pk: names & frozenset(scopes) if scopes else names for pk, names in wide.items()}
        # Bound to a project, it sees that project and nothing else of the organization: no members, no siblings.
        organizations = self.organization_ids if project_id is None else frozenset()
        return Grants({pk: names for pk, names in kept.items() if names}, organizations, wide)

    def projects(self, permission: str) -> set[UUID]:
        """Ids of the projects in which the permission is held."""
        return {pk for pk, names in self.by_project.items() if permission in names}

    def may(self, permission: str, project_id: UUID) -> bool:
        return self.sees_everything or permission in self.by_project.get(project_id, frozenset())

    def may_anywhere(self, permission: str) -> bool:
        return self.sees_everything or any(permission in names for names in self.by_project.values())

    def allows(self, permission: str, subject: object) -> bool:
        """Whether the subject's project (or the organization itself) grants the permission."""
        if self.sees_everything:
            return True
        if getattr(subject, "is_public", False) and permission == subject.declared.permission:
            return True  # what is shared beyond its project is there to be looked at
        if subject._meta.label == "tenants.Organization":
            return self.may_in_organization(permission, subject.pk)
        project_id = subject.pk if subject._meta.label == "tenants.Project" else getattr(subject, "project_id", None)
        return project_id is None or self.may(permission, project_id)

    def may_in_organization(self, permission: str, organization_id: UUID) -> bool:
        return self.sees_everything or permission in self.organization_wide.get(organization_id, frozenset())


Bound = dict[UUID, frozenset[str]]
Placed = list[tuple[UUID, UUID, list[str]]]
"""Projects, with their organization and the ids from the root project down to themselves."""


def _bindings(user) -> tuple[Bound, Bound, Placed]:
    """What the user's own bindings and those of the user's groups grant on organizations and on projects, and the projects
    of all organizations concerned; one statement, since every request asks it."""
    found: dict[str, Bound] = {ORGANIZATION: {}, PROJECT: {}}
    placed: Placed = []
    for level, scope_id, codename, organization_id, path in AROUND.rows(user_id=user.pk):
        if level == PLACED:
            placed.append((scope_id, organization_id, json.loads(path)))
        else:
            found[level][scope_id] = found[level].get(scope_id, frozenset()) | permissions_of(role_of(codename))
    return found[ORGANIZATION], found[PROJECT], placed


def _around(user_id: UUID) -> QuerySet:
    rows = [model.objects.filter(**{owner: user_id}).values_list(
        Value(level), "content_object_id", "permission__codename", Cast(None, UUIDField()), Cast(None, JSONField()))
        for level, model, owner in BINDINGS]
    return rows[0].union(*rows[1:], _projects_around(user_id), all=True)


def _projects_around(user_id: UUID) -> QuerySet:
    """Every project of the organizations in which the user is bound to anything."""
    bound = Q()
    for level, model, owner in BINDINGS:
        scopes = model.objects.filter(**{owner: user_id}).order_by()
        bound |= Q(organization__in=scopes.values("content_object" if level == ORGANIZATION else "content_object__organization"))
    return Project.objects.filter(bound).order_by().values_list(
        Value(PLACED), "pk", Value(""), "organization_id", "path")


AROUND = Composed(_around, user_id=UUID)


def fetch(user, queryset: QuerySet, permission: str, **lookup: object):
    """The object, if visible (else NotFound) and if its project grants `permission` (else Forbidden)."""
    try:
        found = queryset.visible_to(user).filter(**lookup).first()
    except (ValueError, TypeError, ValidationError) as error:  # an id that is no id is as absent as any other
        raise NotFound from error
    if found is None:
        raise NotFound
    require(user, permission, found)
    return found


def require(user, permission: str, subject: object) -> None:
    """Raise Forbidden unless `user` holds `permission` in the subject's project (or organization)."""
    if not user.grants.allows(permission, subject):
        raise Forbidden(permission=permission).about(subject)


class Known:
    """`fetch` by id, composed once, for pages that are asked for all the time. Kinds that are visible by project alone."""

    def __init__(self, rows: Callable[[], QuerySet]) -> None:
        self._all = Composed(lambda pk: rows().live().filter(pk=pk), pk=UUID)
        self._seen = Composed(lambda pk, projects: rows().live().filter(pk=pk, project__any_of=projects),
                              pk=UUID, projects=list[UUID])

    def fetch(self, user, permission: str, pk: UUID):
        """As the other `fetch`; `permission` is what seeing the kind needs."""
        found = self._all.models(pk=pk) if user.grants.sees_everything else self._seen.models(
            pk=pk, projects=list(user.grants.projects(permission)))
        if not found:
            raise NotFound
        return found[0]
