"""The built-in roles, and how a role becomes a row that django-guardian can bind.

A role is a named set of permissions declared by the rooms. A *binding* is one guardian row (user or group, role,
organization or project); the role is represented by a Django permission `role_<name>` on those two models.
"""
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ROLES, registry

LABELS = {"owner": _("Owner"), "admin": _("Administrator"), "operator": _("Operator"), "viewer": _("Viewer")}
PREFIX = "role_"


def permissions_of(role: str) -> frozenset[str]:
    """All permission names that the role includes."""
    return frozenset(name for name, declared in registry.permissions.items() if role in declared.roles)


def codename(role: str) -> str:
    return PREFIX + role


def role_of(codename: str) -> str:
    return codename.removeprefix(PREFIX)


def ensure_role_permissions(**_kwargs: object) -> None:
    """The rows that bindings point at (idempotent; runs after migrate)."""
    from tenants.models import Organization, Project

    for model in (Organization, Project):
        content_type = ContentType.objects.get_for_model(model)
        for role in ROLES:
            Permission.objects.get_or_create(codename=codename(role), content_type=content_type,
                                             defaults={"name": f"Has the role {role}"})


def bind(user, role: str, scope: Model) -> None:
    """Give `user` the role on an organization or project; again is success."""
    from guardian.shortcuts import assign_perm

    assign_perm(codename(role), user, scope)


def unbind(user, role: str, scope: Model) -> None:
    from guardian.shortcuts import remove_perm

    remove_perm(codename(role), user, scope)
