"""Sums that are kept for a while."""
from collections.abc import Iterator

import pytest

from portal.kernel import remembered


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(remembered, "MOST", 3)
    remembered.forget()
    yield
    remembered.forget()


def kept(key: str, value: int, *, at: float, least_s: float = 10) -> int:
    return remembered.remembered(key, lambda: value, least_s=least_s, clock=lambda: at)


def test_an_answer_stands_as_long_as_it_was_said_to() -> None:
    assert [kept("a", 1, at=0), kept("a", 2, at=9), kept("a", 3, at=11)] == [1, 1, 3]


def test_when_there_are_too_many_those_go_that_stand_no_more() -> None:
    for key, seconds in (("a", 5), ("b", 50), ("c", 5)):
        kept(key, 1, at=0, least_s=seconds)
    kept("d", 1, at=20)
    assert [kept(key, 2, at=21) for key in "abd"] == [2, 1, 1]


def test_when_all_stand_all_go() -> None:
    for key in "abc":
        kept(key, 1, at=0)
    kept("d", 1, at=1)
    assert [kept(key, 2, at=2) for key in "da"] == [1, 2]
