"""Live events: a hint on the project's Channels group that carries an id, never content.

Pages re-fetch what changed, so permission is checked once more by the same code. PostgreSQL stays the truth: sockets
also look at `updated_at` every 2 s, so a lost hint or a lost Redis costs 2 s and nothing else.
"""
import asyncio

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from portal.kernel.models import Resource

log = structlog.get_logger(__name__)

PUBLISH_LIMIT_S = 2


def group_of(project_id: object) -> str:
    return f"project.{project_id}"


def touch(resource) -> None:
    """Mark a resource as changed and hint at it on commit. Rows without a project are nobody's news."""
    if not isinstance(resource, Resource):
        return
    # `version` feeds the ETag, `updated_at` the sockets' own look.
    Resource.objects.filter(pk=resource.pk).update(version=F("version") + 1, updated_at=timezone.now())
    hint(resource.project_id, kind=resource.kind, id=resource.pk)


def hint(project_id: object, *, kind: str, id: object) -> None:
    """Send the hint when the transaction has committed; losing it is allowed."""
    if project_id is not None:
        transaction.on_commit(lambda: _send(project_id, kind, id), robust=True)


def _send(project_id: object, kind: str, id: object) -> None:
    try:
        async_to_sync(_publish)(group_of(project_id),
                                {"type": "changed", "kind": kind, "id": str(id), "project": str(project_id)})
    except Exception as error:  # redis raises its own family; a hint must never break the change it tells of
        log.warning("live.hint_lost", error=type(error).__name__)


async def _publish(group: str, message: dict[str, str]) -> None:
    # A Redis that accepts and does not answer must not hold up the request either.
    async with asyncio.timeout(PUBLISH_LIMIT_S):
        await get_channel_layer().group_send(group, message)
