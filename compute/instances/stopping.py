"""What is done to instances without a person, because of money or time: by operations like any other, one after the other; and
what money is asked about."""
from collections.abc import Iterator
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from compute.instances.models import Instance, InstanceState
from compute.instances.operations import act
from compute.instances.verbs import VERBS
from portal.kernel.declarations import Reading, StoppingHook
from portal.kernel.errors import PortalError
from portal.kernel.models import Operation, Region
from tenants.models import Organization

log = structlog.get_logger(__name__)
AT_ONCE = 500
# What takes a host's memory.
AWAKE = (InstanceState.RUNNING, InstanceState.PAUSED, InstanceState.RESCUED)
COMING = (InstanceState.BUILDING, InstanceState.STARTING, InstanceState.RESUMING, InstanceState.RESCUING,
          InstanceState.REBUILDING)


def stop(resources: QuerySet, _why: str) -> None:
    """A stopping hook: stop what runs; what something else is done to is stopped the next time."""
    act_on_all(Instance.objects.live().filter(state__in=AWAKE, pk__in=resources.values("pk")), "stop")


HOOK = StoppingHook(stop=stop, permission=VERBS["stop"].permission)


def coming(organization: Organization) -> list[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: what will run in a moment costs what it does running; also what wakes with the memory of a snapshot."""
    wakes = Q(state=InstanceState.REVERTING, hold__operation__arguments__starts=True)
    rows = Instance.objects.live().filter(Q(state__in=COMING) | wakes, project__organization=organization)
    rows = rows.select_related("region", "type")
    return [(row.pk, row.region, tuple(row.readings(InstanceState.RUNNING))) for row in rows]


def act_on_all(rows: QuerySet[Instance], verb: str) -> list[Operation]:
    """Begin the verb on all of these that nothing else is done to. One that cannot be acted on keeps none of the others waiting,
    however many there are, and each is looked at again under its lock: what has changed meanwhile is left alone."""
    begun = []
    for instance in _walk(rows.filter(hold=None)):
        try:
            with transaction.atomic():
                if fresh := rows.filter(pk=instance.pk).select_for_update(of=("self",), no_key=True).first():
                    begun.append(act(fresh, verb, actor=None))
        except PortalError:  # somebody was faster: the next time
            continue
        except Exception:
            log.exception("instances.not_acted_on", instance=str(instance.pk), verb=verb)
    return begun


def _walk(rows: QuerySet[Instance]) -> Iterator[Instance]:
    chunk = list(rows.order_by("pk")[:AT_ONCE])
    while chunk:
        yield from chunk
        chunk = list(rows.filter(pk__gt=chunk[-1].pk).order_by("pk")[:AT_ONCE])
