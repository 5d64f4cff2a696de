"""What verbs on organizations and projects are refused with, besides the general refusals."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import Forbidden, PortalError


class OrganizationSuspended(Forbidden):
    """Its members sign in and look; whatever would change something is refused, whatever their role."""

    code = "organization_suspended"
    title = _("Organization suspended")
    text = _("This organization is suspended: its things can be looked at, and nothing in it can be made, changed or deleted. "
             "Ask those who run this site.")


class ProjectArchived(PortalError):
    code, status = "project_archived", 409
    title = _("Project archived")
    text = _("The project “{project}” is archived: nothing new is made in it or below it. Unarchive it first.")


class NotEmpty(PortalError):
    """`items` names what is in the way ({"kind", "id", "name", "project"}), MOST_NAMED at most; `count` says how many."""

    code, status = "not_empty", 409
    title = _("Not empty")
    text = _("“{name}” still has {count} things in it. Delete them first: {listed}.")


class LastOwner(PortalError):
    """Somebody must stay to answer for the organization."""

    code, status = "last_owner", 409
    title = _("The last owner stays")
    text = _("{organization} would have no owner any more. Make somebody else its owner first.")


class InvitationOver(PortalError):
    """Unknown, used, revoked, too late, or given by somebody who may not any more: deliberately the same answer."""

    code, status = "invitation_over", 409
    title = _("This invitation is not valid")
    text = _("It was used or withdrawn, or its time is over. Ask for a new one.")
