"""What was done to a thing and by whom: its operations and audit events as one line of time, newest first, in pages."""
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from compute.network.models import FloatingIp, Port
from portal.kernel.models import AuditEvent, Operation
from storage.models import Attachment

ROWS_A_PAGE = 30


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An operation, or an act that was none."""

    at: datetime
    pk: UUID
    operation: Operation | None = None
    event: AuditEvent | None = None

    @property
    def mark(self) -> str:
        """Where the next page goes on: before this entry."""
        return f"{self.at.isoformat()}_{self.pk}"


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A page of entries; `older` is the mark of the next one, empty on the last."""

    entries: tuple[Entry, ...]
    older: str
    is_first: bool


def timeline(user: Any, subjects: Collection[UUID], before: str = "") -> Timeline:
    """What the user may see of it, before a mark (nonsense is the first page). An act that began an operation is told by it."""
    mark = _read(before)
    work = Operation.objects.visible_to(user).filter(target__in=subjects).select_related("actor", "target")
    acts = AuditEvent.objects.visible_to(user).filter(resource__in=subjects, operation=None).select_related("actor")
    found = [Entry(at=row.created_at, pk=row.pk, operation=row) for row in _page(work, "created_at", mark)]
    found += [Entry(at=row.at, pk=row.pk, event=row) for row in _page(acts, "at", mark)]
    found.sort(key=lambda entry: (entry.at, entry.pk), reverse=True)
    shown = tuple(found[:ROWS_A_PAGE])
    return Timeline(entries=shown, older=shown[-1].mark if len(found) > ROWS_A_PAGE else "", is_first=mark is None)


def _page(rows: QuerySet, field: str, mark: tuple[datetime, UUID] | None) -> QuerySet:
    if mark is not None:
        at, pk = mark
        rows = rows.filter(Q(**{f"{field}__lt": at}) | Q(**{field: at, "pk__lt": pk}))
    return rows.order_by(f"-{field}", "-pk")[:ROWS_A_PAGE + 1]


def _read(text: str) -> tuple[datetime, UUID] | None:
    at, _mark, pk = text.partition("_")
    try:
        moment = parse_datetime(at)
        return (moment, UUID(pk)) if moment is not None and moment.tzinfo is not None else None
    except ValueError:
        return None


def subjects_of_instance(pk: UUID) -> list[UUID]:
    """The instance with its volumes, its ports and the floating IPs at them, in one statement."""
    ports = Port.objects.filter(domain=pk)
    rows = ports.values_list("pk").union(FloatingIp.objects.filter(port__in=ports).values_list("pk"),
                                         Attachment.objects.filter(domain=pk).values_list("volume_id"))
    return [pk, *(found for (found,) in rows)]
