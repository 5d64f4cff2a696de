"""Calendar months of a time zone, half-open, kept as moments in UTC. No Django, no clock."""
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Month:
    """A calendar month of a time zone; `str` is its name in addresses (`2026-11`)."""

    year: int
    month: int
    zone: str = "UTC"

    @classmethod
    def of(cls, moment: datetime, zone: str = "UTC") -> "Month":
        moment = moment.astimezone(ZoneInfo(zone))
        return cls(moment.year, moment.month, zone)

    @classmethod
    def named(cls, text: str, zone: str = "UTC") -> "Month":
        """Raises ValueError unless the text is a month like `2026-11` from 2000 to 2999."""
        year, _dash, month = text.partition("-")
        if not (len(year) == 4 and len(month) == 2 and text.isascii() and (year + month).isdigit()
                and year[0] == "2" and 1 <= int(month) <= 12):
            raise ValueError(text)
        return cls(int(year), int(month), zone)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def start(self) -> datetime:
        """The wall clock's midnight; the first one where it is set back and shows it twice."""
        return datetime(self.year, self.month, 1, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    @property
    def end(self) -> datetime:
        return self.next.start

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1, self.zone)

    @property
    def previous(self) -> "Month":
        return Month(self.year - (self.month == 1), (self.month - 2) % 12 + 1, self.zone)
