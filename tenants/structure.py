"""Verbs on the tree: move, archive and delete projects; suspend, resume and delete organizations. The caller has checked access.

Deleted projects and organizations stay as rows: the audit trail, usage and operations name them. Nobody sees them any more.
"""
import json
from collections import Counter
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from portal.kernel import audit
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput, NotFound, QuotaExceeded
from portal.kernel.models import Operation, Region, Resource
from portal.kernel.states import database_now
from tenants import service_users
from tenants.errors import NotEmpty
from tenants.invitations import revoke as revoke_invitation
from tenants.models import (
    ApiKey,
    FormerPlace,
    Invitation,
    Organization,
    OrganizationGroupBinding,
    OrganizationUserBinding,
    Project,
    ProjectGroupBinding,
    ProjectUserBinding,
    Quota,
    ServiceUser,
    User,
)
from tenants.operations import DEEPEST, revoke_api_key
from tenants.quotas import lines, taken
from tenants.standing import lock_organization, name_once, require_open

MOST_NAMED, MOST_IN_TEXT = 20, 5

# The whole subtree at once; what is above the moved project is replaced, and where each stood until now is kept.
MOVE = """
WITH moved AS (
    UPDATE tenants_project AS project
    SET path = %(above)s::jsonb || jsonb_path_query_array(was.path, '$[$depth to last]', %(variables)s::jsonb),
        parent_id = CASE WHEN project.id = %(project)s THEN %(parent)s::uuid ELSE project.parent_id END,
        updated_at = CASE WHEN project.id = %(project)s THEN %(now)s ELSE project.updated_at END
    FROM (SELECT id, path FROM tenants_project
          WHERE organization_id = %(organization)s AND path @> %(own)s::jsonb) AS was
    WHERE project.id = was.id
    RETURNING project.id, was.path AS former
)
INSERT INTO tenants_formerplace (project_id, path, until) SELECT id, former, %(now)s FROM moved
"""


def _locked(project: Project) -> Project:
    """The project as it stands now, with its organization and all projects of it held. Raises NotFound when it was deleted."""
    # In this order, as a default security group's maker does: its project first, then the organization.
    rows = Project.objects.living().filter(organization_id=project.organization_id).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk"))
    lock_organization(project.organization_id)
    found = Project.objects.living().select_related("organization", "parent").filter(pk=project.pk).first()
    if found is None:
        raise NotFound
    return found


@transaction.atomic
def move_project(project: Project, *, actor: User | None, parent: Project | None) -> Project:
    """Put the project, with all below it, below `parent` (None: at the top); again is success. Usage from now on belongs to
    what is above it there.

    Raises InvalidInput when the parent is another organization's, the project itself or below it, or too deep, or has one of
    the name; ProjectArchived; QuotaExceeded when what moves does not fit into a limit that did not count it before.
    """
    if parent is not None and parent.organization_id != project.organization_id:
        raise InvalidInput.field("parent", _("The parent belongs to another organization."))
    project = _locked(project)
    if parent is not None:
        require_open(parent)
    if project.parent_id == (parent.pk if parent else None):
        return project
    above, former, before = (parent.path if parent else []), project.path, project.parent
    if str(project.pk) in above:
        raise InvalidInput.field("parent", _("A project is moved neither into itself nor below itself."))
    paths = Project.objects.living().below(project).values_list("path", flat=True)
    if len(above) + max(map(len, paths)) - len(former) + 1 > DEEPEST:
        raise InvalidInput.field("parent", _("Projects are at most {most} deep.").format(most=DEEPEST))
    with name_once():
        _rewrite(project, parent, database_now())
    project.parent, project.path = parent, [*above, str(project.pk)]
    project.refresh_from_db(fields=["updated_at"])
    _require_room(project, joined=[UUID(pk) for pk in above if pk not in former])
    audit.record("project.move", project, actor=actor, before=_place(before), after=_place(parent))
    return project


def _rewrite(project: Project, parent: Project | None, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MOVE, {
            "project": project.pk, "organization": project.organization_id, "parent": parent.pk if parent else None, "now": now,
            "above": json.dumps(parent.path if parent else []), "own": json.dumps([str(project.pk)]),
            "variables": json.dumps({"depth": len(project.path) - 1})})


def _require_room(project: Project, joined: list[UUID]) -> None:
    """Raise QuotaExceeded where what was moved, which is counted already, goes beyond a limit of the projects it came below."""
    limits = Quota.objects.filter(project__in=joined).exclude(limit=None)
    moved = list(Project.objects.living().below(project).values_list("pk", flat=True))
    for region in (None, *Region.objects.filter(pk__in=limits.values("region"))):
        names = set(limits.filter(region=region).values_list("dimension", flat=True)) & registry.dimensions.keys()
        came = Counter(dict.fromkeys(sorted(names), 0))
        for (name, _project), amount in taken(moved, region, came).items():
            came[name] += amount
        for line in lines(project, region, came):
            if line.scope_id in joined and line.wanted and line.limit is not None and line.used > line.limit:
                raise QuotaExceeded(resource=line.resource, scope=line.scope, limit=line.limit, used=line.used - line.wanted,
                                    wanted=line.wanted)


def _place(parent: Project | None) -> dict[str, object]:
    return {"parent": parent.name if parent else None, "parent_id": str(parent.pk) if parent else None}


@transaction.atomic
def archive_project(project: Project, *, actor: User | None) -> Project:
    """Nothing new is made in it or below it from now on; what is there goes on and is billed. Again is success."""
    return _set_archived(_locked(project), database_now(), "project.archive", actor)


@transaction.atomic
def unarchive_project(project: Project, *, actor: User | None) -> Project:
    """It takes new things again, unless one above it is archived. Again is success."""
    return _set_archived(_locked(project), None, "project.unarchive", actor)


def _set_archived(project: Project, when: datetime | None, action: str, actor: User | None) -> Project:
    if (project.archived_at is None) != (when is None):
        project.archived_at = when
        project.save(update_fields=["archived_at", "updated_at"])
        audit.record(action, project, actor=actor)
    return project


@transaction.atomic
def delete_project(project: Project, *, actor: User | None) -> None:
    """The project and the empty projects below it are gone, with what every project is given as long as nothing uses it, and
    their service users; API keys bound to them and invitations to them are revoked. Raises NotEmpty naming what else lives in
    them."""
    project = _locked(project)
    gone = sorted(Project.objects.living().below(project).select_related("organization"), key=lambda one: -len(one.path))
    for one in gone:
        for hook in registry.project_end_hooks:
            hook(one, actor)
    _refuse_alive(project, gone)
    for key in ApiKey.objects.filter(project__in=gone, revoked_at=None):
        revoke_api_key(key, actor=actor)
    for service in ServiceUser.objects.filter(project__in=gone, deleted_at=None).select_related("user", "project"):
        service_users.delete(service, actor=actor)
    for invitation in Invitation.objects.pending().filter(project__in=gone):
        revoke_invitation(invitation, actor=actor)
    for binding in (ProjectUserBinding, ProjectGroupBinding):
        binding.objects.filter(content_object__in=gone).delete()
    now = database_now()
    Project.objects.filter(pk__in=[one.pk for one in gone]).update(deleted_at=now, updated_at=now)
    for one in gone:
        audit.record("project.delete", one, actor=actor, before={"name": one.name, **_place(one.parent)})


def _refuse_alive(project: Project, gone: list[Project]) -> None:
    names = {one.pk: one.name for one in gone}
    alive = Resource.objects.live().filter(project__in=gone).order_by("kind", "name", "pk")
    # Of work under way only that which no living thing stands for already.
    work = Operation.objects.unfinished().filter(project__in=gone).exclude(target__in=alive).order_by("created_at")
    count = alive.count() + work.count()
    if not count:
        return
    items = [{"kind": kind, "id": str(pk), "name": name, "project": str(place), "project_name": names[place]}
             for kind, pk, name, place in alive.values_list("kind", "pk", "name", "project")[:MOST_NAMED]]
    items += [{"kind": "operation", "id": str(pk), "name": kind, "project": str(place), "project_name": names[place]}
              for kind, pk, place in work.values_list("kind", "pk", "project")[:MOST_NAMED - len(items)]]
    raise _not_empty(project.name, count, items)


def _not_empty(name: str, count: int, items: list[dict[str, str]]) -> NotEmpty:
    listed = ", ".join(f"{item['name']} ({_word(item['kind'])})" for item in items[:MOST_IN_TEXT])
    return NotEmpty(name=name, count=count, items=items, listed=listed + (" …" if count > MOST_IN_TEXT else ""))


def _word(kind: str) -> str:
    return str(registry.kinds[kind].label) if kind in registry.kinds else kind


@transaction.atomic
def delete_organization(organization: Organization, *, actor: User | None) -> None:
    """The organization is gone, and everybody's roles in it. Raises NotEmpty naming its projects as long as there are some."""
    organization = lock_organization(organization.pk)
    projects = Project.objects.living().filter(organization=organization).order_by("name", "pk")
    if count := projects.count():
        raise _not_empty(organization.name, count, [
            {"kind": "project", "id": str(pk), "name": name, "project": str(pk), "project_name": name}
            for pk, name in projects.values_list("pk", "name")[:MOST_NAMED]])
    for invitation in Invitation.objects.pending().filter(organization=organization):
        revoke_invitation(invitation, actor=actor)
    for hook in registry.organization_end_hooks:
        hook(organization, actor)
    audit.record("organization.delete", organization, actor=actor, before={"name": organization.name})
    for binding in (OrganizationUserBinding, OrganizationGroupBinding):
        binding.objects.filter(content_object=organization).delete()
    _set(organization, deleted_at=database_now())


@transaction.atomic
def suspend_organization(organization: Organization, *, reason: str, actor: User | None,
                         while_suspended: str = Organization.WhileSuspended.KEEP) -> Organization:
    """From now on its members only look. Running instances go on, or are stopped where `while_suspended` says so. Again changes
    the reason and the policy."""
    organization = lock_organization(organization.pk)
    before = {"reason": organization.suspension_reason} if organization.suspended_at else None
    _set(organization, suspended_at=organization.suspended_at or database_now(), suspension_reason=reason,
         while_suspended=while_suspended)
    audit.record("organization.suspend", organization, actor=actor, before=before,
                 after={"reason": reason, "while_suspended": while_suspended})
    for hook in registry.suspension_hooks:
        transaction.on_commit(hook)
    return organization


@transaction.atomic
def resume_organization(organization: Organization, *, actor: User | None) -> Organization:
    """Its members may again what their roles say; what was stopped stays stopped until they start it. Again is success."""
    organization = lock_organization(organization.pk)
    if organization.suspended_at is not None:
        before = {"reason": organization.suspension_reason, "while_suspended": organization.while_suspended}
        since = organization.suspended_at
        _set(organization, suspended_at=None, suspension_reason="")
        audit.record("organization.resume", organization, actor=actor, before=before)
        for hook in registry.resumption_hooks:
            hook(organization.pk, since)
    return organization


def _set(organization: Organization, **values: object) -> None:
    for name, value in values.items():
        setattr(organization, name, value)
    organization.save(update_fields=[*values, "updated_at"])


def stood_below(project: Project, start: datetime, end: datetime) -> list[tuple[set[UUID], datetime, datetime]]:
    """Which projects stood at or below this one when, from `start` to `end`: (their ids, since, until), each project and each
    moment once. What they used between these belongs to this project's total."""
    own = str(project.pk)
    once = FormerPlace.objects.filter(path__contains=[own], until__gt=start)
    paths = dict(Project.objects.filter(Q(path__contains=[own]) | Q(pk__in=once.values("project")),
                                        organization_id=project.organization_id).values_list("pk", "path"))
    moved: dict[UUID, list[FormerPlace]] = {}
    for place in FormerPlace.objects.filter(project__in=list(paths), until__gt=start).order_by("until", "pk"):
        moved.setdefault(place.project_id, []).append(place)
    spans: dict[tuple[datetime, datetime], set[UUID]] = {}
    for pk, path in paths.items():
        for since, until in _inside(own, [*((one.path, one.until) for one in moved.get(pk, ())), (path, end)], start, end):
            spans.setdefault((since, until), set()).add(pk)
    return [(ids, since, until) for (since, until), ids in sorted(spans.items(), key=lambda pair: pair[0])]


def _inside(own: str, places: list[tuple[list[str], datetime]], start: datetime,
            end: datetime) -> list[tuple[datetime, datetime]]:
    """When something that stood at each place until a moment stood below `own`; stretches that touch are one."""
    found: list[tuple[datetime, datetime]] = []
    since = start
    for path, until in places:
        until = min(until, end)
        if own in path and since < until:
            touches = bool(found) and found[-1][1] == since
            found[-1:] = [(found[-1][0], until)] if touches else [*found[-1:], (since, until)]
        since = max(since, until)
    return found
