"""The built-in roles, and how a role becomes a row that django-guardian can bind.

A role is a named set of permissions: of a built-in one the rooms declare them, of an organization's own (`Role`) it chose them.
A *binding* is one guardian row (user or group, role, organization or project); the role is represented by a Django permission
`role_<name>` (`role_<id>` of an organization's own) on those two models.
"""
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ROLES, registry

LABELS = {"owner": _("Owner"), "admin": _("Administrator"), "operator": _("Operator"), "viewer": _("Viewer"),
          "billing": _("Billing")}
PREFIX = "role_"


def permissions_of(role: str) -> frozenset[str]:
    """All permission names that the role includes."""
    return frozenset(name for name, declared in registry.permissions.items() if role in declared.roles)


def codename(role: str) -> str:
    return PREFIX + role


def role_of(codename: str) -> str:
    return codename.removeprefix(PREFIX)


def ensure_role_permissions(**_kwargs: object) -> None:
    """The rows that bindings of the built-in roles point at (idempotent; runs after migrate)."""
    for role in ROLES:
        make_bindable(role)


def make_bindable(role: str) -> None:
    """The rows that bindings of the role point at; again is success."""
    for content_type in _scopes():
        Permission.objects.get_or_create(codename=codename(role), content_type=content_type,
                                         defaults={"name": f"Has the role {role}"})


def forget(role: str) -> None:
    """Take the rows away, and with them every binding of the role."""
    Permission.objects.filter(codename=codename(role), content_type__in=_scopes()).delete()


def _scopes() -> list[ContentType]:
    from tenants.models import Organization, Project

    return [ContentType.objects.get_for_model(model) for model in (Organization, Project)]


def bind(user, role: str, scope: Model) -> None:
    """Give the user (or Django group) the role on an organization or project; again is success."""
    from guardian.shortcuts import assign_perm

    assign_perm(codename(role), user, scope)


def unbind(user, role: str, scope: Model) -> None:
    from guardian.shortcuts import remove_perm

    remove_perm(codename(role), user, scope)
