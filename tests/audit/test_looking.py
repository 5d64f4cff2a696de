"""The clock that looks at a part of the chains every minute: a round sees all, and what it finds is told where operators look."""
from typing import Any

import pytest
from django.urls import reverse

from portal.kernel import audit, sealing, tasks, verifying
from portal.kernel.models import AuditChain
from tests.audit.rewriting import rewriting
from tests.audit.test_chain import REWRITTEN
from tests.cast import Cast


def round_of(chain: AuditChain, monkeypatch: pytest.MonkeyPatch, page: int = 7) -> tuple[str, int | None]:
    """Enough looks for a whole round of all chains; what is noted then."""
    monkeypatch.setattr(verifying, "PAGE", page)
    for _tick in range(40):
        verifying.look()
    chain.refresh_from_db(fields=["fault", "fault_sequence", "looked"])
    return chain.fault, chain.fault_sequence


def test_a_whole_trail_stays_without_fault_and_each_look_goes_on_where_the_last_ended(
        cast: Cast, chain: AuditChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "PAGE", 20)
    seen = []
    for _tick in range(4):
        verifying.look()
        chain.refresh_from_db()
        seen.append(chain.looked)
    assert seen == [20, 40, chain.sequence, 20] and chain.sequence > 40
    audit.record("project.change", cast.project, actor=cast.alice)
    sealing.seal()
    assert round_of(chain, monkeypatch) == ("", None)


@pytest.mark.parametrize("how", REWRITTEN)
def test_a_round_finds_what_verifying_finds(chain: AuditChain, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite, _fault, _sequence = REWRITTEN[how]
    verifying.look(150)
    with rewriting() as cursor:
        rewrite(cursor, chain)
    assert round_of(chain, monkeypatch)[0], "which of several faults is met first depends on where the round stands"
    assert all(not one.fault for one in AuditChain.objects.exclude(pk=chain.pk))


def test_it_takes_no_fault_back(chain: AuditChain, monkeypatch: pytest.MonkeyPatch) -> None:
    AuditChain.objects.filter(pk=chain.pk).update(fault="changed", fault_sequence=9)
    assert round_of(chain, monkeypatch) == ("changed", 9)


def test_a_look_is_bounded_and_takes_those_first_that_waited_longest(cast: Cast, chain: AuditChain) -> None:
    audit.record("portal.drain", None, actor=cast.root)
    sealing.seal()
    assert AuditChain.objects.count() == 3
    for _tick in range(3):
        verifying.look(verifying.A_CHAIN)
    assert AuditChain.objects.filter(looked_at=None).count() == 0


def test_operators_are_told_on_their_pages_and_by_a_metric(cast: Cast, chain: AuditChain) -> None:
    root, board = cast.browser("root"), reverse("admin:index")
    words = "The audit trail of Acme is broken"
    assert words not in root.get(board).content.decode()
    assert "mains_audit_broken_chains 0.0" in root.get(reverse("metrics")).content.decode()
    with rewriting() as cursor:
        cursor.execute("UPDATE kernel_auditevent SET action = 'x' WHERE chain_id = %s AND sequence = 9", [chain.pk])
    tasks.look_at_audit()
    text = root.get(board).content.decode()
    assert words in text and "First at number 9." in text
    assert "mains_audit_broken_chains 1.0" in root.get(reverse("metrics")).content.decode()
    assert "is broken: rows were changed" in root.get(reverse("dashboard"), {"project": "all"}).content.decode()
    assert "is broken: rows" not in cast.browser("alice").get(reverse("dashboard")).content.decode()


def test_a_row_that_is_taken_away_by_the_retention_meanwhile_is_no_fault(cast: Cast, chain: AuditChain,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    real = verifying._page_fault

    def forgetful(looked_at: AuditChain, *args: Any) -> Any:
        answer = real(looked_at, *args)
        AuditChain.objects.filter(pk=looked_at.pk).update(forgotten=0)
        return answer[0], answer[1], verifying.Found(fault="missing", sequence=1)

    monkeypatch.setattr(verifying, "_page_fault", forgetful)
    AuditChain.objects.exclude(pk=chain.pk).update(looked_at="2999-01-01T00:00Z")
    assert len(verifying.look(100)) == 1, "nothing was forgotten: it is one"
