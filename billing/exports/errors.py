"""What only exports refuse."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import PortalError


class LinkExpired(PortalError):
    """The link was good once."""

    code, status = "link_expired", 403
    title = _("This link is too old")
    text = _("Links to a file are good for a short time. Get a new one where the export is listed.")


class TooManyExports(PortalError):
    """So many are being written."""

    code, status = "too_many_exports", 409
    title = _("Too many exports at once")
    text = _("{running} exports of {organization} are being written, and more than {most} at once are not. Wait until one is "
             "ready.")


class TooManyExportsToday(PortalError):
    """So many were asked for within a day."""

    code, status = "too_many_exports_today", 429
    title = _("Too many exports today")
    text = _("{made} exports of {organization} were asked for within a day, and more than {most} are not made. Try again in "
             "{retry_after} seconds.")
