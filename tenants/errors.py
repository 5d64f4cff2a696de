"""What verbs on organizations and projects are refused with, besides the general refusals."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import Forbidden, PortalError


class OrganizationSuspended(Forbidden):
    """Its members sign in and look; whatever would change something is refused, whatever their role."""

    code, of = "organization_suspended", "changes"
    title = _("Organization suspended")
    text = _("This organization is suspended: its things can be looked at, and nothing in it can be made, changed or deleted. "
             "Ask those who run this site.")


class MfaRequired(Forbidden):
    """The organization wants a second factor of its members, and this one has none."""

    code, of, leads_to = "mfa_required", "all", "mfa_index"
    title = _("Two-step sign-in required")
    text = _("Set up an authenticator app or a passkey first, on the page “Two-step sign-in” of your account: it is required "
             "here.")


class LimitsFromAbove(Forbidden):
    """Nobody raises their own limits."""

    title = _("Limits are set from above")
    text = _("The limits of {scope} are set by whoever manages what is above it: of a project those of its parent or its "
             "organization, of an organization those who run this site. Ask them for more.")


class AlreadyAsked(PortalError):
    code, status = "already_asked", 409
    title = _("Asked already")
    text = _("A request for more of this is open for {scope} already. Withdraw it first, or wait for the answer.")


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


class AddressNotAllowed(Forbidden):
    """A good key from a place that its owner did not allow."""

    code, of = "address_not_allowed", "all"
    title = _("Address not allowed")
    text = _("This API key is not accepted from {address}. Its owner chooses from where it is.")


class NotForAnother(Forbidden):
    """An operator who acts as a user."""

    code, of = "not_for_another", "changes"
    title = _("Not on somebody's behalf")
    text = _("You are looking at the portal as somebody else: credentials, people and what outlasts it are not yours to change. "
             "Stop acting as them first.")


class GlassUnbroken(Forbidden):
    """An operator without a live emergency access to what belongs to a tenant."""

    code, of = "break_glass_required", "changes"
    title = _("Emergency access needed")
    text = _("This belongs to a tenant. Open an emergency access to it first, with your reason: the tenant reads it.")
