"""The snapshots of an instance as a tree, for its page."""
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.instances import guarding
from compute.instances.models import Instance, Snapshot
from compute.instances.snapshots import verbs
from compute.instances.verbs import VERBS
from compute.instances.views.sheets import Action, may_not

DEEPEST = 6
"""Further down they stand below each other: a phone has no room for more."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A snapshot, how far down it stands, and what may be done to it."""

    snapshot: Snapshot
    depth: int
    is_current: bool
    actions: tuple[Action, ...]


def tree_of(request: HttpRequest, instance: Instance) -> dict[str, Any]:
    """Depth first, older ones first; in one statement."""
    below: dict[UUID | None, list[Snapshot]] = defaultdict(list)
    for row in Snapshot.objects.live().filter(of_instance=instance).order_by("created_at", "pk"):
        below[row.parent_id].append(row)
    nodes = [Node(snapshot=row, depth=min(depth, DEEPEST), is_current=row.pk == instance.current_snapshot_id,
                  actions=tuple(actions_on(request, row, instance))) for row, depth in _walked(below, None, 0)]
    return {"taking": [_take(request, instance)], "nodes": nodes}


def _walked(below: dict[UUID | None, list[Snapshot]], parent: UUID | None, depth: int) -> Iterator[tuple[Snapshot, int]]:
    waiting = [(row, depth) for row in reversed(below[parent])]
    while waiting:
        row, at = waiting.pop()
        yield row, at
        waiting += [(child, at + 1) for child in reversed(below[row.pk])]


def actions_on(request: HttpRequest, snapshot: Snapshot, instance: Instance) -> list[Action]:
    not_there = "" if snapshot.state == Snapshot.State.ACTIVE else _("It is not there yet, or not any more.")
    return [_verb(request, "revert", instance, snapshot, not_there), _verb(request, "capture", instance, snapshot, not_there),
            delete_action(request, snapshot, instance)]


def _take(request: HttpRequest, instance: Instance) -> Action:
    """The button above the tree."""
    verb = VERBS["snapshot"]
    return Action(label=verb.label, symbol=verb.icon, url=reverse("instances:snapshot", args=[instance.pk]), is_link=True,
                  why_not=may_not(request, verb.permission, instance) or str(verb.why_not(instance)))


def _verb(request: HttpRequest, name: str, instance: Instance, snapshot: Snapshot, not_there: str) -> Action:
    verb = VERBS[name]
    return Action(label=_("Revert") if name == "revert" else verb.label, symbol=verb.icon, is_link=True,
                  url=f"{reverse(f'instances:{name}', args=[instance.pk])}?snapshot={snapshot.pk}",
                  why_not=may_not(request, verb.permission, instance) or not_there or str(verb.why_not(instance)))


def delete_action(request: HttpRequest, snapshot: Snapshot, instance: Instance) -> Action:
    return Action(label=_("Delete"), symbol="trash", url=reverse("snapshots:delete", args=[snapshot.pk]), is_bad=True,
                  question=_("Delete the snapshot “%(name)s”?") % {"name": snapshot.name}, text=effect_of_deleting(),
                  why_not=may_not(request, verbs.DELETE, snapshot) or guarded(snapshot, instance))


def guarded(snapshot: Snapshot, instance: Instance) -> str:
    if snapshot.state != Snapshot.State.ACTIVE:
        return _("It is not there yet, or not any more.")
    refusal = guarding.refusal(instance, "snapshot")
    return refusal.detail if refusal else ""


def effect_of_deleting() -> str:
    return _("What the instance was then is lost. The instance itself and its other snapshots stay as they are.")
