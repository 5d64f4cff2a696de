from .bindings import (
    OrganizationGroupBinding,
    OrganizationUserBinding,
    ProjectGroupBinding,
    ProjectUserBinding,
)
from .keys import ApiKey
from .people import User
from .quotas import Quota
from .structure import Organization, Project

__all__ = ["ApiKey", "Organization", "OrganizationGroupBinding", "OrganizationUserBinding", "Project",
           "ProjectGroupBinding", "ProjectUserBinding", "Quota", "User"]
