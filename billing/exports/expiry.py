"""Files go after some days; that they were made, and what was in them, stays known."""
from datetime import datetime

from django.db.models import QuerySet

from billing.exports import files
from billing.models import Export

BATCH = 500


def old(before: datetime) -> QuerySet[Export]:
    """Ready since longer, and brought where it belongs (or given up)."""
    return Export.objects.filter(state=Export.State.READY, finished_at__lt=before).exclude(delivery=Export.Delivery.PENDING)


def remove(before: datetime) -> int:
    """How many went. Said first and done then: a link never leads to a file that is half gone, and what a crash between the two
    leaves is removed by the next run."""
    gone = 0
    while keys := list(old(before).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        gone += Export.objects.filter(pk__in=keys, state=Export.State.READY).update(state=Export.State.REMOVED)
        for pk in keys:
            files.clear(pk)
    _sweep()
    return gone


def _sweep() -> None:
    """What is left of exports that have no file any more."""
    there = [path.name for path in files.folders()]
    for pk in Export.objects.filter(pk__in=there, state__in=[Export.State.REMOVED, Export.State.FAILED]).values_list(
            "pk", flat=True):
        files.clear(pk)
