from .bindings import (
    Binding,
    OrganizationGroupBinding,
    OrganizationUserBinding,
    ProjectGroupBinding,
    ProjectUserBinding,
)
from .connections import Connection, ConnectionDomain
from .groups import Group
from .invitations import Invitation
from .keys import ApiKey, ServiceUser
from .operators import BreakGlass, Impersonation
from .people import User
from .quotas import Quota, QuotaRequest
from .roles import Role
from .sessions import BrowserSession
from .structure import FormerPlace, Organization, Project

__all__ = ["ApiKey", "Binding", "BreakGlass", "BrowserSession", "Connection", "ConnectionDomain", "FormerPlace", "Group",
           "Impersonation", "Invitation", "Organization", "OrganizationGroupBinding", "OrganizationUserBinding", "Project",
           "ProjectGroupBinding", "ProjectUserBinding", "Quota", "QuotaRequest", "Role", "ServiceUser", "User"]
