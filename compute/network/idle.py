"""Which floating IPs cost and serve nobody (`portal.kernel.declarations.IdleRule`)."""
from datetime import datetime

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.network.models import FloatingIp
from portal.kernel.declarations import IdleRule


def unattached(now: datetime) -> QuerySet[FloatingIp]:
    """Attached to nothing: an address is scarce from the first minute."""
    return FloatingIp.objects.live().filter(state=FloatingIp.State.IDLE, state_changed_at__lte=now)


RULE = IdleRule(name="floating_ip.idle", label=_("Not attached"), rows=unattached,
                hint=_("Release the address, or attach it to an instance."))
