"""Who is bound with a role that includes a permission: whom notices of something are for."""
from collections.abc import Collection
from uuid import UUID

from django.db.models import Q, QuerySet

from portal.kernel.declarations import ROLES
from tenants.models import Binding, Role, User
from tenants.roles import permissions_of


def people_who_may(permission: str, organization: UUID | None, projects: Collection[UUID] = ()) -> QuerySet[User]:
    """Active users, service users too, who are bound to the whole organization or one of these projects, by themselves or by a
    group. Operators are none of them: they may everything and are bound to nothing."""
    own = Role.objects.filter(organization=organization, permissions__contains=[permission]).values_list("pk", flat=True)
    roles = [*(role for role in ROLES if permission in permissions_of(role)), *map(str, own)]
    bound = Binding.objects.filter(Q(project=None) | Q(project__in=projects), organization=organization, role__in=roles)
    return User.objects.filter(Q(pk__in=bound.exclude(user=None).values("user"))
                               | Q(groups__of_organization__in=bound.exclude(group=None).values("group")),
                               is_active=True).distinct()
