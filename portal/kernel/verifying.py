"""Verifying: whether the rows of a chain of the audit trail are all there, unchanged, in their order, and none beside them.

PostgreSQL computes every hash anew, pages of rows at a time, so that no snapshot is held for long and sealing goes on
meanwhile. What the chain's own row says is checked against its seal. The code of the canonical form is ours, not the
database's: nobody can change it there.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from cryptography.fernet import InvalidToken
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from portal.kernel.models import AuditChain, AuditEvent
from portal.kernel.sealing import CANONICAL, seal_text
from portal.kernel.states import database_now

PAGE = 20_000
Fault = AuditChain.Fault
CHECKED = (
    "SELECT max(sequence), (array_agg(hash ORDER BY sequence DESC))[1], min(sequence) FILTER (WHERE fits IS NOT TRUE) FROM ("
    "  SELECT sequence, hash, sequence = lag(sequence, 1, %s::bigint) OVER numbered + 1"
    "         AND hash = sha256(lag(hash, 1, %s::bytea) OVER numbered || convert_to(canonical, 'UTF8')) AS fits"
    "    FROM (SELECT sequence, hash, " + CANONICAL + " AS canonical FROM kernel_auditevent"
    "           WHERE chain_id = %s AND sequence > %s AND sequence <= %s ORDER BY sequence LIMIT %s) page"
    "  WINDOW numbered AS (ORDER BY sequence)) checked")
# Rows that claim a place in the chain which is not theirs, in the same snapshot as the chain's own row.
STRAY = """
SELECT event.id, event.sequence FROM kernel_auditchain chain JOIN kernel_auditevent event ON event.chain_id = chain.id
 WHERE chain.id = %s AND (event.sequence IS NULL OR event.sequence > chain.sequence OR event.sequence <= chain.forgotten)
 ORDER BY event.sequence LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is wrong; `sequence` is of the first row that is missing, changed, or too many, None where no row is meant."""

    fault: Fault
    sequence: int | None = None
    event: AuditEvent | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A chain as it was read, and what is wrong with it."""

    chain: AuditChain
    found: Found | None

    @property
    def rows(self) -> int:
        return self.chain.sequence - self.chain.forgotten


def verify(chains: QuerySet[AuditChain]) -> Iterator[Verdict]:
    """Look at every row of the chains, and note with each what was found."""
    for pk in list(chains.order_by("organization_id").values_list("pk", flat=True)):
        yield _verify(pk)


def without_trail() -> QuerySet:
    """Organizations without a chain or any row: making one is in the trail, so that somebody deleted both."""
    organizations = AuditEvent._meta.get_field("organization").related_model.objects
    return organizations.filter(audit_chain=None).exclude(Exists(AuditEvent.objects.filter(organization=OuterRef("pk"))))


def _verify(pk: UUID) -> Verdict:
    while True:
        chain, found = _read(pk)
        found = found or _row_fault(chain) or _stray(chain)
        # The retention may have taken rows away while they were read.
        if found is None or AuditChain.objects.filter(pk=pk, forgotten=chain.forgotten).exists():
            break
    AuditChain.objects.filter(pk=pk).update(
        verified_at=database_now(), verified=chain.sequence, fault=found.fault if found else "",
        fault_sequence=found.sequence if found else None)
    return Verdict(chain=chain, found=found)


def _read(pk: UUID) -> tuple[AuditChain, Found | None]:
    """The chain, and whether its numbers are not those that were sealed."""
    rows = AuditChain.objects.select_related("organization").filter(pk=pk)
    try:
        chain = rows.defer(None).get()
    except InvalidToken:
        return rows.get(), Found(fault=Fault.HEAD)
    return chain, None if chain.seal == seal_text(chain) else Found(fault=Fault.HEAD)


def _row_fault(chain: AuditChain) -> Found | None:
    """The first row that does not follow on the one before it."""
    last, last_hash = chain.forgotten, bytes(chain.forgotten_hash)
    while last < chain.sequence:
        with connection.cursor() as cursor:
            cursor.execute(CHECKED, [last, last_hash, chain.pk, last, chain.sequence, PAGE])
            end, end_hash, broken = cursor.fetchone()
        if end is None:
            return Found(fault=Fault.MISSING, sequence=last + 1)
        if broken is not None:
            return _broken(chain, broken)
        last, last_hash = end, bytes(end_hash)
    return None if last_hash == bytes(chain.hash) else Found(fault=Fault.HEAD)


def _broken(chain: AuditChain, sequence: int) -> Found:
    before = chain.events.filter(sequence__lt=sequence).order_by("-sequence").values_list("sequence", flat=True).first()
    expected = (chain.forgotten if before is None else before) + 1
    if expected < sequence:
        return Found(fault=Fault.MISSING, sequence=expected)
    return Found(fault=Fault.CHANGED, sequence=sequence, event=chain.events.filter(sequence=sequence).first())


def _stray(chain: AuditChain) -> Found | None:
    with connection.cursor() as cursor:
        cursor.execute(STRAY, [chain.pk])
        row = cursor.fetchone()
    return Found(fault=Fault.INSERTED, sequence=row[1], event=AuditEvent.objects.get(pk=row[0])) if row else None
