"""The recycle bin: who deletes an instance can have it back for RECYCLE_DAYS; then the clock deletes it for good."""
from datetime import timedelta

from django.conf import settings

from compute.instances.models import Instance, InstanceState
from compute.instances.stopping import act_on_all
from portal.kernel.models import Operation
from portal.kernel.states import database_now


def purge_due() -> list[Operation]:
    """Delete what is there for long enough; what is being restored is not there any more. Whose organization is suspended cannot
    restore anything, so theirs stays."""
    due = database_now() - timedelta(days=settings.RECYCLE_DAYS)
    rows = Instance.objects.live().filter(state=InstanceState.RECYCLED, recycled_at__lte=due)
    return act_on_all(rows.filter(project__organization__suspended_at=None), "purge")
