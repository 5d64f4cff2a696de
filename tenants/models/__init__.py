from .bindings import (
    Binding,
    OrganizationGroupBinding,
    OrganizationUserBinding,
    ProjectGroupBinding,
    ProjectUserBinding,
)
from .groups import Group
from .invitations import Invitation
from .keys import ApiKey
from .people import User
from .quotas import Quota
from .roles import Role
from .structure import FormerPlace, Organization, Project

__all__ = ["ApiKey", "Binding", "FormerPlace", "Group", "Invitation", "Organization", "OrganizationGroupBinding",
           "OrganizationUserBinding", "Project", "ProjectGroupBinding", "ProjectUserBinding", "Quota", "Role", "User"]
