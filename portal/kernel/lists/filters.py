"""Filters in the address: each reads its own parameter, narrows the rows, and says in words what it does.

Nonsense filters nothing: an address that somebody kept still opens. Ids of hidden things find nothing, like absent ones.
"""
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import CharField, Q, QuerySet, Value
from django.db.models.functions import Cast

from portal.kernel.rest.filters import tagged
from portal.kernel.rest.parsing import is_storable

LONGEST, MOST_TAGS, MOST_CHOICES = 100, 5, 200
MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
Choices = Sequence[tuple[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One parameter. `is_extra` ones are folded away until they are asked for."""

    name: str
    label: Any
    is_extra: bool = False
    control: ClassVar[str] = "text"
    takes_many: ClassVar[bool] = False

    def read(self, texts: Sequence[str]) -> list[str]:
        """The values that mean something."""
        cleaned = [text.strip()[:LONGEST] for text in texts if is_storable(text)]
        return [text for text in cleaned if text][: MOST_TAGS if self.takes_many else 1]

    def condition(self, value: str) -> Q:
        """Which rows a value leaves."""
        raise NotImplementedError

    def words(self, value: str, choices: Choices = ()) -> str:
        label = dict(choices).get(value, value)
        return f"{self.label}: {label}"


@dataclass(frozen=True, kw_only=True)
class Text(Filter):
    """Part of a name; `starts` are fields of which the beginning is compared."""

    paths: tuple[str, ...] = ("name",)
    starts: tuple[str, ...] = ()

    def condition(self, value: str) -> Q:
        found = Q()
        for path in self.paths:
            found |= Q(**{f"{path}__icontains": value})
        for path in self.starts:
            found |= Q(**{f"{path}__startswith": value})
        return found

    def words(self, value: str, choices: Choices = ()) -> str:
        return f"“{value}”"


@dataclass(frozen=True, kw_only=True)
class Choice(Filter):
    """One of a few known values; `means` says what a value selects, where that is not equality at `path`."""

    control: ClassVar[str] = "choice"
    choices: Choices = ()
    path: str = ""
    means: Callable[[str], Q] | None = None

    def read(self, texts: Sequence[str]) -> list[str]:
        known = {str(value) for value, _label in self.choices}
        return [text for text in texts[:1] if text in known]

    def condition(self, value: str) -> Q:
        return self.means(value) if self.means else Q(**{self.path or self.name: value})


@dataclass(frozen=True, kw_only=True)
class Exact(Filter):
    """The whole of a value; `check` raises ValueError on what can be none."""

    path: str = ""
    check: Callable[[str], object] = str

    def read(self, texts: Sequence[str]) -> list[str]:
        found = super().read(texts)
        try:
            return found if all(self.check(text) for text in found) else []
        except ValueError:
            return []

    def condition(self, value: str) -> Q:
        return Q(**{self.path or self.name: value})


@dataclass(frozen=True, kw_only=True)
class Month(Exact):
    """A month such as 2026-11."""

    control: ClassVar[str] = "month"

    def read(self, texts: Sequence[str]) -> list[str]:
        return [text for text in super().read(texts) if MONTH.fullmatch(text)]


@dataclass(frozen=True, kw_only=True)
class Day(Filter):
    """Rows from a day on, or (`is_last`) up to the end of it."""

    control: ClassVar[str] = "day"
    path: str
    is_last: bool = False

    def read(self, texts: Sequence[str]) -> list[str]:
        try:
            return [self._day(text).isoformat() for text in super().read(texts)]
        except ValueError:
            return []

    def condition(self, value: str) -> Q:
        begins = datetime.combine(self._day(value), time(), tzinfo=UTC)
        return Q(**{f"{self.path}__lt": begins + timedelta(days=1)} if self.is_last else {f"{self.path}__gte": begins})

    @staticmethod
    def _day(text: str) -> date:
        found = date.fromisoformat(text)
        if not 1970 <= found.year < 9999:
            raise ValueError(text)
        return found


@dataclass(frozen=True, kw_only=True)
class RowChoice(Filter):
    """One of the rows that the user sees of another table, named by `text`."""

    control: ClassVar[str] = "choice"
    rows: Callable[[Any], QuerySet]
    path: str = ""
    text: str = "name"

    def read(self, texts: Sequence[str]) -> list[str]:
        try:
            return [str(UUID(text)) for text in texts[:1]]
        except ValueError:
            return []

    def condition(self, value: str) -> Q:
        return Q(**{self.path or self.name: value})


@dataclass(frozen=True, kw_only=True)
class Tags(Filter):
    """`?tag=key:value` or `?tag=key`, as often as wanted; all must fit. As in the API."""

    control: ClassVar[str] = "tags"
    takes_many: ClassVar[bool] = True

    def condition(self, value: str) -> Q:
        return tagged(value)


def row_choices(filters: Sequence[Filter], user: Any) -> Mapping[str, list[tuple[str, str]]]:
    """The choices of all `RowChoice`s, in one statement."""
    asked = [one for one in filters if isinstance(one, RowChoice)]
    if not asked:
        return {}
    parts = [one.rows(user).order_by(one.text, "pk").values_list(
        Value(one.name, output_field=CharField()), "pk", Cast(one.text, CharField()))[:MOST_CHOICES] for one in asked]
    found: dict[str, list[tuple[str, str]]] = {one.name: [] for one in asked}
    for name, pk, text in parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]:
        found[name].append((str(pk), text))
    return {name: sorted(rows, key=lambda row: row[1].casefold()) for name, rows in found.items()}
