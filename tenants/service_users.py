"""Verbs on service users: identities of programs, which belong to a project and outlast whoever made them.

Who manages members of the project makes, stops and deletes them, and ends their keys. Whoever has a key of one can do all that
it may: so a key is made, given a new secret or let in again only by somebody who could give all of its roles.
"""
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.text import slugify
from django.utils.translation import gettext

from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.states import database_now
from tenants.access import require
from tenants.models import ApiKey, Binding, OrganizationUserBinding, Project, ProjectUserBinding, ServiceUser, User
from tenants.operations import revoke_api_key
from tenants.people import MANAGE, hold, require_role
from tenants.standing import require_open

MOST = 100
LONGEST_SLUG = 60


@transaction.atomic
def create(project: Project, name: str, *, actor: User, description: str = "") -> ServiceUser:
    """One without roles and keys. Raises Forbidden, InvalidInput for a name that there is, ProjectArchived, and InvalidInput
    beyond MOST in a project."""
    require(actor, MANAGE, project)
    require_open(project)
    if ServiceUser.objects.filter(project=project, deleted_at=None).count() >= MOST:
        raise InvalidInput.field("project", gettext("A project has at most {most} of them.").format(most=MOST))
    user = User(is_service=True, first_name=name[:150], password=make_password(None))
    user.username = f"service-{slugify(name, allow_unicode=True)[:LONGEST_SLUG]}-{user.pk.hex[:8]}".replace("--", "-")
    user.save(force_insert=True)
    service = ServiceUser(id=user.pk, user=user, project=project, name=name, description=description)
    _save(service, force_insert=True)
    audit.record("service_user.create", service, actor=actor, after={"name": name, "user": user.username})
    return service


@transaction.atomic
def change(service: ServiceUser, *, actor: User, name: str | None = None, description: str | None = None) -> ServiceUser:
    """What people call it; the trail goes on naming it as before."""
    require(actor, MANAGE, service)
    before = {"name": service.name, "description": service.description}
    service.name = service.name if name is None else name
    service.description = service.description if description is None else description
    after = {"name": service.name, "description": service.description}
    if after != before:
        _save(service, update_fields=["name", "description", "updated_at"])
        User.objects.filter(pk=service.pk).update(first_name=service.name)
        audit.record("service_user.change", service, actor=actor, before=before, after=after)
    return service


@transaction.atomic
def deactivate(service: ServiceUser, *, actor: User) -> ServiceUser:
    """All of its keys are refused from now on, until it is activated; again is success."""
    require(actor, MANAGE, service)
    return _set_active(service, False, actor)


@transaction.atomic
def activate(service: ServiceUser, *, actor: User) -> ServiceUser:
    """Its keys are accepted again. Raises Forbidden unless the actor could give all of its roles; again is success."""
    require_all_of(service, actor=actor)
    return _set_active(service, True, actor)


def _set_active(service: ServiceUser, wanted: bool, actor: User) -> ServiceUser:
    if User.objects.filter(pk=service.pk, is_active=not wanted).update(is_active=wanted):
        audit.record("service_user.activate" if wanted else "service_user.deactivate", service, actor=actor,
                     after={"name": service.name})
    service.user.is_active = wanted
    return service


@transaction.atomic
def delete(service: ServiceUser, *, actor: User | None) -> None:
    """Its keys are revoked and its roles end; what it did stays under its name. The caller has checked that the actor manages
    members; again is success."""
    hold(service.project.organization_id)
    if not ServiceUser.objects.filter(pk=service.pk, deleted_at=None).update(deleted_at=database_now()):
        return
    for key in ApiKey.objects.filter(owner=service.pk, revoked_at=None).select_related("owner"):
        revoke_api_key(key, actor=actor)
    for table in (OrganizationUserBinding, ProjectUserBinding):
        table.objects.filter(user=service.pk).delete()
    service.user.groups.clear()
    User.objects.filter(pk=service.pk).update(is_active=False)
    audit.record("service_user.delete", service, actor=actor, before={"name": service.name, "user": service.user.username})


def require_all_of(service: ServiceUser, *, actor: User) -> None:
    """Raise Forbidden unless the actor manages the project's members and could give all roles that the service user has, by
    itself or by groups. The caller's transaction holds the organization from here on, so none is added meanwhile."""
    hold(service.project.organization_id)
    require(actor, MANAGE, service)
    held = Binding.objects.filter(Q(user=service.pk) | Q(group__auth_group__user=service.pk))
    for binding in held.select_related("organization", "project"):
        require_role(binding.role, binding.scope, actor=actor)


def _save(service: ServiceUser, **how: object) -> None:
    try:
        with transaction.atomic():
            service.save(**how)
    except IntegrityError as error:
        raise InvalidInput.field("name", gettext("There is a service user of this name here already.")) from error
