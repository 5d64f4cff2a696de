"""`Idempotency-Key`: the first successful answer to a POST is stored with the change and given again for 24 hours.

The row is inserted before the work, so a concurrent twin waits on the unique index: it then replays the answer, or does
the work itself when the first one was rolled back. Secrets shown once are stored as null.
"""
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel import requests
from portal.kernel.errors import InvalidInput, KeyReused
from portal.kernel.models import IdempotencyKey

from .rendering import as_json

HEADER = "Idempotency-Key"
LONGEST = 200
KEPT = timedelta(hours=24)


def once(request: Request, work: Callable[[], Response], *, secret_fields: Iterable[str]) -> Response:
    """Do `work` once per caller, path and key. Runs inside the transaction of the change."""
    key = request.headers.get(HEADER)
    if key is None:
        return work()
    if not (1 <= len(key) <= LONGEST and key.isprintable()):
        raise InvalidInput.field(HEADER, _("1 to {most} printable characters.").format(most=LONGEST))
    wanted = {"caller": caller(request), "method": request.method, "path": request.path[:300], "key": key}
    body_hash = _hash(request)
    row = _insert(wanted, body_hash)
    if row is None:
        return _replay(IdempotencyKey.objects.get(**wanted), body_hash)
    response = work()
    if 200 <= response.status_code < 300:
        row.status, row.location = response.status_code, response.headers.get("Location", "")
        row.answer = _without(json.loads(as_json(response.data)), frozenset(secret_fields))
        row.save(update_fields=["status", "location", "answer"])
    else:
        row.delete()
    return response


def caller(request: Request) -> str:
    """The API key, or the signed-in user; whoever acts for a user has answers of their own."""
    if request.auth is not None:
        return f"key:{request.auth.pk}"
    return f"user:{requests.acting(request.user.pk)}".replace(" as ", ">")  # the column is as long as that


def _insert(wanted: dict[str, str], body_hash: str) -> IdempotencyKey | None:
    IdempotencyKey.objects.filter(**wanted, created_at__lt=Now() - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(**wanted, body_hash=body_hash)
    except IntegrityError:
        return None


def _replay(row: IdempotencyKey, body_hash: str) -> Response:
    if row.body_hash != body_hash:
        raise KeyReused
    headers = {"Idempotent-Replayed": "true"} | ({"Location": row.location} if row.location else {})
    return Response(row.answer, status=row.status, headers=headers)


def _hash(request: Request) -> str:
    """Keyed: bodies have passwords in them, which whoever reads the table is not to try out."""
    said = {"body": request.data, "query": sorted(request.query_params.lists())}
    return salted_hmac("idempotency", json.dumps(said, sort_keys=True, default=str), algorithm="sha256").hexdigest()


def _without(answer: Any, secret: frozenset[str]) -> Any:
    if isinstance(answer, dict):
        return {name: None if name in secret else _without(value, secret) for name, value in answer.items()}
    return [_without(value, secret) for value in answer] if isinstance(answer, list) else answer
