"""Which volumes cost and serve nobody (`portal.kernel.declarations.IdleRule`)."""
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import IdleRule
from storage.models import Volume

IDLE_AFTER = timedelta(days=7)


def detached(now: datetime) -> QuerySet[Volume]:
    """Attached to nothing for a week."""
    return Volume.objects.live().filter(state=Volume.State.AVAILABLE, state_changed_at__lte=now - IDLE_AFTER)


RULE = IdleRule(name="volume.detached", label=_("Not attached"), rows=detached,
                hint=_("Delete the volume if nobody needs what is on it."))
