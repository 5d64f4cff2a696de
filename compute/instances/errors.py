"""What can be wrong with a verb on an instance."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import PortalError


class NotSupported(PortalError):
    """The hypervisor of its host lacks what the verb needs."""

    code, status = "not_supported", 409
    title = _("Not supported")
    text = _("The host of “{name}” cannot do this.")
