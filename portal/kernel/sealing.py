"""Sealing: audit rows get a number and a hash in the chain of their organization, or of the site.

A row's hash is SHA-256 over the hash before it and the row's canonical form; the chain's own row keeps the newest number and
hash, under the master key too. Rows are numbered in the order in which sealers see them: a row whose transaction commits late
comes after younger ones. Sealers take turns at a chain by its lock, and each batch is one transaction: any number of them may
run at once and be killed anywhere.

The retention forgets the oldest rows of a chain; it remembers the hash of the last one, on which the rest follows.
"""
import hashlib
from collections.abc import Iterable
from datetime import datetime
from itertools import takewhile
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from portal.kernel.models import AuditChain, AuditEvent
from portal.kernel.states import database_now

BATCH, ROUNDS = 1000, 50
# An array of JSON says where a value ends; no setting of a session changes how any of these is written. The second form is of
# rows about people: their name may be erased, its salted hash stays.
CANONICAL = """
CASE WHEN name_hash IS NULL THEN
jsonb_build_array(1, id, (extract(epoch FROM at) * 1000000)::bigint, organization_id, project_id, actor_id, on_behalf_of_id,
                  api_key, address::text, request_id, route, action, resource_id, target_type, target_id, target_name,
                  before, after, result, operation_id)::text
ELSE
jsonb_build_array(2, id, (extract(epoch FROM at) * 1000000)::bigint, organization_id, project_id, actor_id, on_behalf_of_id,
                  api_key, address::text, request_id, route, action, resource_id, target_type, target_id,
                  encode(name_hash, 'hex'), before, after, result, operation_id)::text
END
"""
NUMBER = """
UPDATE kernel_auditevent event SET chain_id = %s, sequence = sealed.sequence, hash = sealed.hash
  FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[]) AS sealed (id, sequence, hash) WHERE event.id = sealed.id
"""


def seal() -> int:
    """Seal what waits, a batch of each chain in turn so that a busy one keeps no other waiting; how many rows."""
    total, waiting = 0, _waiting()
    for _round in range(ROUNDS):
        sealed = {organization_id: _seal_batch(organization_id) for organization_id in waiting}
        total += sum(sealed.values())
        waiting = [organization_id for organization_id, count in sealed.items() if count == BATCH]  # these have more
    return total


def unsealed() -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(chain=None)


def seal_text(chain: AuditChain) -> str:
    """What the master key vouches for."""
    return f"{chain.pk}:{chain.sequence}:{bytes(chain.hash).hex()}:{chain.forgotten}:{bytes(chain.forgotten_hash).hex()}"


def _waiting() -> list[UUID | None]:
    return list(unsealed().order_by().values_list("organization_id", flat=True).distinct())


@transaction.atomic
def _seal_batch(organization_id: UUID | None) -> int:
    chain = _locked(organization_id)
    if chain is None:  # another sealer is at it
        return 0
    rows = unsealed().filter(organization_id=organization_id).order_by("at", "pk")
    found = list(rows.annotate(text=RawSQL(CANONICAL, ())).values_list("pk", "text")[:BATCH])
    if not found:
        return 0
    hashes = _hashes(bytes(chain.hash), (text for _pk, text in found))
    numbers = list(range(chain.sequence + 1, chain.sequence + len(found) + 1))
    with connection.cursor() as cursor:
        cursor.execute(NUMBER, [chain.pk, [pk for pk, _text in found], numbers, hashes])
    _move(chain, sequence=numbers[-1], hash=hashes[-1], sealed_at=database_now())
    return len(found)


def _locked(organization_id: UUID | None) -> AuditChain | None:
    """The chain under its lock, made if there is none; None while somebody else has it."""
    rows = AuditChain.objects.defer(None).filter(organization_id=organization_id)
    if not rows.exists():
        AuditChain.objects.bulk_create([AuditChain(organization_id=organization_id)], ignore_conflicts=True)
    return rows.select_for_update(skip_locked=True, no_key=True).first()


def _hashes(last: bytes, texts: Iterable[str]) -> list[bytes]:
    found = []
    for text in texts:
        last = hashlib.sha256(last + text.encode()).digest()
        found.append(last)
    return found


def _move(chain: AuditChain, **values: object) -> None:
    for name, value in values.items():
        setattr(chain, name, value)
    AuditChain.objects.filter(pk=chain.pk).update(**values, seal=seal_text(chain))


def forget(before: datetime) -> int:
    """Delete the oldest rows of each chain, up to the first that is not older than `before`; how many."""
    total = 0
    for pk in list(AuditChain.objects.values_list("pk", flat=True)):
        while count := _forget_batch(pk, before):
            total += count
    return total


@transaction.atomic
def _forget_batch(pk: UUID, before: datetime) -> int:
    chain = AuditChain.objects.defer(None).select_for_update(no_key=True).get(pk=pk)
    oldest = chain.events.filter(sequence__gt=chain.forgotten).order_by("sequence").values_list("sequence", "hash", "at")
    gone = list(takewhile(lambda row: row[2] < before, oldest[:BATCH]))
    if not gone:
        return 0
    last, last_hash, _at = gone[-1]
    _move(chain, forgotten=last, forgotten_hash=bytes(last_hash))
    return chain.events.filter(sequence__lte=last).delete()[0]
