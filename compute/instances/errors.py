"""What can be wrong with a verb on an instance."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import PortalError


class NotSupported(PortalError):
    """The hypervisor of its host lacks what the verb needs."""

    code, status = "not_supported", 409
    title = _("Not supported")
    text = _("The host of “{name}” cannot do this.")


class InstanceLocked(PortalError):
    """Somebody locked it: no verb is done to it until it is unlocked."""

    code, status = "locked", 409
    title = _("Locked")
    text = _("“{name}” was locked by {by} ({at}): {reason}. Unlock it first.")


class InstanceProtected(PortalError):
    """It is protected against being deleted."""

    code, status = "protected", 409
    title = _("Protected")
    text = _("“{name}” is protected against being deleted. Switch its termination protection off first.")
