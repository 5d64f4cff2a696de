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
from django.db.models import Exists, F, OuterRef, QuerySet

from portal.kernel.models import AuditChain, AuditEvent
from portal.kernel.sealing import CANONICAL, seal_text
from portal.kernel.states import database_now

PAGE = 20_000
A_CHAIN = 100
"""What looking at a chain costs whose rows are few, in rows."""
Fault = AuditChain.Fault
# A name is the one that was hashed, or it was erased together with its person, whose end is in the trail with the ids of all
# rows that it concerned (`audit.erase_names`).
NAMED = """
(name_hash IS NULL OR name_hash = sha256(name_salt || convert_to(target_name, 'UTF8')) OR (
    name_salt IS NULL AND target_name = '' AND EXISTS (
        SELECT FROM kernel_auditevent ending
         WHERE ending.action = 'user.delete' AND ending.target_id = kernel_auditevent.target_id
           AND ending.after -> 'erased' ? kernel_auditevent.id::text)))
"""
CHECKED = (
    "SELECT max(sequence), (array_agg(hash ORDER BY sequence DESC))[1], min(sequence) FILTER (WHERE fits IS NOT TRUE) FROM ("
    "  SELECT sequence, hash, sequence = lag(sequence, 1, %s::bigint) OVER numbered + 1"
    "         AND hash = sha256(lag(hash, 1, %s::bytea) OVER numbered || convert_to(canonical, 'UTF8')) AND named AS fits"
    "    FROM (SELECT sequence, hash, " + CANONICAL + " AS canonical, " + NAMED + " AS named FROM kernel_auditevent"
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
        last, last_hash, found = _page_fault(chain, last, last_hash, PAGE)
        if found:
            return found
    return None if last_hash == bytes(chain.hash) else Found(fault=Fault.HEAD)


def _page_fault(chain: AuditChain, last: int, last_hash: bytes, rows: int) -> tuple[int, bytes, Found | None]:
    """The number and hash of the last of so many rows after one, and the first among them that does not follow."""
    with connection.cursor() as cursor:
        cursor.execute(CHECKED, [last, last_hash, chain.pk, last, chain.sequence, rows])
        end, end_hash, broken = cursor.fetchone()
    if end is None:
        return last, last_hash, Found(fault=Fault.MISSING, sequence=last + 1)
    return end, bytes(end_hash), _broken(chain, broken) if broken is not None else None


# -- a part every minute --

def look(rows: int = 100_000) -> list[Verdict]:
    """Look at about so many rows, a page of each chain in turn, and go on there the next time; the chains that are broken. Every
    row is looked at together with the one before it, so that a round over a chain sees all that `verify` does."""
    found, longest_ago = [], AuditChain.objects.order_by(F("looked_at").asc(nulls_first=True), "pk")
    for pk in longest_ago.values_list("pk", flat=True)[:rows // A_CHAIN]:
        if rows > 0:
            verdict, seen = _look(pk, min(rows, PAGE))
            rows -= max(seen, A_CHAIN)
            found += [verdict] if verdict.found else []
    return found


def _look(pk: UUID, rows: int) -> tuple[Verdict, int]:
    """A page of one chain, and how many rows that were. What is wrong is noted; that nothing is says `verify` alone."""
    chain, found = _read(pk)
    last = chain.looked if chain.forgotten < chain.looked < chain.sequence else chain.forgotten
    end = last
    if found is None and last < chain.sequence:
        known = chain.events.filter(sequence=last).values_list("hash", flat=True).first() if last > chain.forgotten else (
            chain.forgotten_hash)
        end, end_hash, found = (last, b"", Found(fault=Fault.MISSING, sequence=last)) if known is None else (
            _page_fault(chain, last, bytes(known), rows))
        if found is None and end == chain.sequence and end_hash != bytes(chain.hash):
            found = Found(fault=Fault.HEAD)
    found = found or _stray(chain)
    # The retention may have taken rows away while they were read.
    if found and not AuditChain.objects.filter(pk=pk, forgotten=chain.forgotten).exists():
        found = None
    noted = {"fault": found.fault, "fault_sequence": found.sequence} if found and not chain.fault else {}
    AuditChain.objects.filter(pk=pk).update(looked=end, looked_at=database_now(), **noted)
    return Verdict(chain=chain, found=found), end - last


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
