"""Calendar months in UTC, half-open. No Django, no clock."""
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Month:
    """A calendar month; `str` is its name in addresses (`2026-11`)."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    @classmethod
    def named(cls, text: str) -> "Month":
        """Raises ValueError unless the text is a month like `2026-11` from 2000 to 2999."""
        year, _dash, month = text.partition("-")
        if not (len(year) == 4 and len(month) == 2 and text.isascii() and (year + month).isdigit()
                and year[0] == "2" and 1 <= int(month) <= 12):
            raise ValueError(text)
        return cls(int(year), int(month))

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.next.start

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> "Month":
        return Month(self.year - (self.month == 1), (self.month - 2) % 12 + 1)
