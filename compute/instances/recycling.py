"""The recycle bin: who deletes an instance can have it back for RECYCLE_DAYS; then the clock deletes it for good."""
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import F, Value
from django.db.models.functions import Greatest

from compute.instances.models import Instance, InstanceState
from compute.instances.stopping import act_on_all
from portal.kernel.models import Operation
from portal.kernel.states import database_now


def purge_due() -> list[Operation]:
    """Delete what is there for long enough; what is being restored is not there any more. Whose organization is suspended cannot
    restore anything, so theirs stays, and that time is given back (`give_back`)."""
    due = database_now() - timedelta(days=settings.RECYCLE_DAYS)
    rows = Instance.objects.live().filter(state=InstanceState.RECYCLED, recycled_at__lte=due)
    return act_on_all(rows.filter(project__organization__suspended_at=None), "purge")


def give_back(organization: UUID, since: datetime) -> None:
    """The organization may restore again: the days in which it could not do not count."""
    rows = Instance.objects.filter(project__organization=organization, state=InstanceState.RECYCLED)
    rows.update(recycled_at=F("recycled_at") + (database_now() - Greatest(F("recycled_at"), Value(since))))
