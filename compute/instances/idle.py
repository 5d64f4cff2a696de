"""Which instances cost and serve nobody (`portal.kernel.declarations.IdleRule`)."""
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance, InstanceState
from portal.kernel.declarations import IdleRule
from storage.models import Attachment

IDLE_AFTER = timedelta(days=7)


def stopped(now: datetime) -> QuerySet[Instance]:
    """Stopped for a week; its disks cost as before."""
    return Instance.objects.live().filter(state=InstanceState.STOPPED, state_changed_at__lte=now - IDLE_AFTER)


def disks(instances: Collection[UUID]) -> dict[UUID, UUID]:
    """Volume → the instance whose disk it is."""
    return dict(Attachment.objects.filter(domain__in=instances).values_list("volume_id", "domain"))


RULE = IdleRule(name="instance.stopped", label=_("Stopped"), rows=stopped, parts=disks,
                hint=_("Delete it if nobody needs it: its disks cost as while it ran."))
