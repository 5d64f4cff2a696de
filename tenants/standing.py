"""Whether a project takes anything new, asked under its organization's lock; and that no two beside each other share a name.

Locks are taken in this order: projects by id, then their organization, then all else. Whoever makes, moves, archives or deletes
holds the organization's row until commit, so that each sees what the one before did.
"""
import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from portal.kernel.composed import Composed
from portal.kernel.errors import InvalidInput, NotFound
from tenants.errors import ProjectArchived
from tenants.models import Organization, Project

NAME_ONCE = next(one for one in Project._meta.constraints if one.name == "project_name_once")


def lock_organization(pk: UUID) -> Organization:
    """The row, held until commit. Raises NotFound when it was deleted."""
    found, = ORGANIZATION.models(pk=pk)
    if found.deleted_at is not None:
        raise NotFound
    return found


ORGANIZATION = Composed(lambda pk: Organization.objects.select_for_update(no_key=True).filter(pk=pk), pk=UUID)


def require_open(project: Project) -> None:
    """Hold the organization and see the project as it stands now: its path too, if it was moved since it was read.

    Raises NotFound when it was deleted, ProjectArchived when it or one above it is archived.
    """
    lock_organization(project.organization_id)
    # A second statement, so that it sees what the previous holder of the lock committed.
    found = {row[0]: row for row in ITSELF_AND_ARCHIVED.rows(project=project.pk, organization=project.organization_id)}
    if project.pk not in found:
        raise NotFound
    project.path = json.loads(found[project.pk][1])
    for pk in project.ancestor_ids:
        if pk in found and found[pk][2] is not None:
            raise ProjectArchived(project=found[pk][3])


ITSELF_AND_ARCHIVED = Composed(lambda project, organization: Project.objects.living().filter(
    Q(pk=project) | Q(archived_at__isnull=False), organization=organization).order_by().values_list(
    "pk", "path", "archived_at", "name"), project=UUID, organization=UUID)


@contextmanager
def name_once() -> Iterator[None]:
    """Raise InvalidInput where PostgreSQL refuses a second project of a name in one place."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if NAME_ONCE.name not in str(error):
            raise
        raise InvalidInput.field("name", str(NAME_ONCE.violation_error_message)) from error
