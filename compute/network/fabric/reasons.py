"""Why a fabric refused, in words for people: shared by all drivers, and free of names and addresses of hosts, because
tenants read them. What the engine itself said goes into the log and the exception's notes."""
from django.utils.translation import gettext_lazy as _

from compute.hosts.drivers.reasons import BROKEN_CONNECTION, INJECTED, NO_ANSWER, NOT_CONNECTED

__all__ = ["BAD_CERTIFICATES", "BROKEN_CONNECTION", "INJECTED", "NOT_CONNECTED", "NOT_THERE_YET", "NO_ANSWER",
           "REFUSED", "SUPERSEDED"]

BAD_CERTIFICATES = _("its certificates cannot be used")
NOT_THERE_YET = _("a network that this one builds on is not there yet")
REFUSED = _("it refused the change")
SUPERSEDED = _("a newer change was made already")
