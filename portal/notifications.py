"""The bell: what became of a person's own operations, what failed in their projects, and what waits for an operator.

No table of its own: the rows are operations, and what is new is what happened after `User.notifications_seen_at`.
"""
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, JSONObject, Now
from django.http import HttpRequest
from django.utils import timezone

from portal.kernel import maintenance
from portal.kernel.composed import Composed
from portal.kernel.models import Operation, Region
from portal.kernel.states import CLOCK
from portal.notices.kinds import FAILED, OWN
from portal.notices.models import Preferences
from tenants.models import QuotaRequest, User
from tenants.models.quotas import managed

KEPT, MOST_SHOWN = timedelta(days=30), 500
OF_REGION = ("id", "slug", "name", "is_open")
MOST_COUNTED = 99
"""The bell says "99+" beyond it."""


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What every frame says: operations under way, news not yet seen, whether work waits and why, regions to choose, and how
    many requests for higher limits wait for the user's answer."""

    live: int
    unread: int
    requests: int
    draining_since: datetime | None
    reason: str | None
    regions: list[Region]
    at: datetime
    """The database's clock."""

    @property
    def unread_text(self) -> str:
        return f"{MOST_COUNTED}+" if self.unread > MOST_COUNTED else str(self.unread)


def activity(user: Any) -> Activity:
    """By one statement, since every page asks it: the one row is the user's."""
    known = {"user_id": user.pk, "since": seen_until(user)}
    if user.grants.sees_everything:
        [row] = OPERATORS_FRAME.rows(**known)
    else:
        [row] = FRAME.rows(**known, projects=list[UUID](user.grants.projects("operation.view")), **managed(user))
    draining_since, reason, at, counts, regions, requests = row
    counts = json.loads(counts) if counts else {"live": 0, "unread": 0}
    regions = [Region(**one | {"id": UUID(one["id"])}) for one in map(json.loads, regions)]
    return Activity(**counts, draining_since=draining_since, reason=reason, at=at, regions=regions, requests=requests or 0)


def _frame(user_id: UUID, since: datetime, projects: list[UUID] | None = None, **places: list[UUID]) -> QuerySet:
    """`projects` where the user sees operations, `places` where they set limits; None: everywhere, as operators do."""
    live, news = Q(state__in=Operation.LIVE), reduce(or_, _sorts(user_id, since, is_operator=projects is None))
    rows = Operation.objects.all() if projects is None else Operation.objects.filter(project__any_of=projects)
    rows = rows.filter(live | news).order_by().annotate(all=Value(1)).values("all")
    counts = rows.annotate(live=Count("pk", filter=live), unread=Count("pk", filter=news))
    state, waiting = maintenance.rows(), QuotaRequest.objects.open()
    waiting = (waiting if projects is None else waiting.decided_in(**places)).order_by().annotate(all=Value(1)).values("all")
    regions = Region.objects.order_by("name", "pk")
    return User.objects.filter(pk=user_id).values_list(
        Subquery(state.values("draining_since")), Subquery(state.values("reason")), CLOCK,
        Subquery(counts.values(counts=JSONObject(live="live", unread="unread"))),
        ArraySubquery(regions.values(region=JSONObject(**{name: name for name in OF_REGION}))),
        Subquery(waiting.annotate(count=Count("pk")).values("count")))


FRAME = Composed(_frame, user_id=UUID, since=datetime, projects=list[UUID], parents=list[UUID], organizations=list[UUID])
OPERATORS_FRAME = Composed(_frame, user_id=UUID, since=datetime)


def activity_of(request: HttpRequest) -> Activity:
    """The same, asked once a request."""
    if not hasattr(request, "_activity"):
        request._activity = activity(request.user)
    return request._activity


def notifications(user: Any) -> QuerySet[Operation]:
    """The newest first, `at` being when it happened; nothing older than KEPT, and of each sort the newest MOST_SHOWN."""
    rows, since = Operation.objects.visible_to(user).order_by("-finished_at"), timezone.now() - KEPT
    # Each sort has an index of its own; sorted together, all that somebody did in a month would be read for one page.
    sorts = _sorts(user.pk, since, is_operator=user.grants.sees_everything)
    own, failed, *stuck = (rows.filter(which).values("pk")[:MOST_SHOWN] for which in sorts)
    newest = Operation.objects.filter(pk__in=own.union(failed, *stuck))
    return newest.annotate(at=Coalesce("finished_at", "person_since")).order_by("-at", "-pk")


def seen_until(user: Any) -> datetime:
    """Since when everything is new: never longer ago than notifications are kept."""
    return max(user.notifications_seen_at or user.date_joined, timezone.now() - KEPT)


def mark_seen(user: Any) -> None:
    """Everything up to now has been read. The database's clock, since it stamps what ends."""
    User.objects.filter(pk=user.pk).update(notifications_seen_at=Now())
    user.refresh_from_db(fields=["notifications_seen_at"])


def _sorts(user_id: UUID, since: datetime, *, is_operator: bool) -> list[Q]:
    """Own ones that ended, anybody's that failed, unless the user has silenced them; for operators also those that the engine
    cannot settle alone, always."""
    ended = Q(parent=None, finished_at__gt=since)
    sorts = [ended & Q(actor=user_id) & _rings(OWN, user_id), ended & Q(state=Operation.State.FAILED) & _rings(FAILED, user_id)]
    return [*sorts, Q(state__in=Operation.LIVE, person_since__gt=since)] if is_operator else sorts


def _rings(kind: str, user_id: UUID) -> Q:
    """Asked once a statement, not once a row: it depends on none."""
    return Q(~Exists(Preferences.objects.filter(user=user_id, silent__contains=[kind])))
