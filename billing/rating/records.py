"""What is asked of rating, and what it answers."""
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from uuid import UUID

from billing.money import Money
from portal.kernel.declarations import COUNTER, registry

MICROSECOND = Decimal("0.000001")
GROUPS = ("project", "meter", "day", "resource", "price")  # and tag:<name>
TAG = "tag:"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which usage: None means all of it. `projects` is what the asker may see, so it is never left out by accident."""

    projects: Collection[UUID] | None
    organization: UUID | None = None
    regions: Collection[UUID] | None = None
    resources: Collection[UUID] | None = None
    meters: Collection[str] | None = None
    skus: Collection[str] | None = None
    intervals: Collection[UUID] | None = None
    under: UUID | None = None
    """A price book: what it would have cost were that the list prices, and had nobody agreed on anything else."""
    discounted: bool = False
    """Of `under`: less the discounts that organizations agreed on, whichever book is theirs."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A row of another table, as a line shows it."""

    id: UUID
    name: str
    type: str
    is_gone: bool = False
    """Deleted by now; its usage stays."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One interval at one price version and tier. `price_per_hour` None: nothing prices it. `end` None: it still runs."""

    interval: UUID | None
    """None: a counter counted it."""
    resource: Named
    project: Named
    region: UUID
    meter: str
    unit: str
    sku: str
    units: Decimal
    quantity: Decimal
    """Unit-seconds that are billed; of a counter units."""
    start: datetime
    end: datetime | None
    price: UUID | None
    price_per_hour: Decimal | None
    tier: Decimal
    """From how many unit-hours of the month on this price holds; 0 is the first tier."""
    terms: UUID | None
    discount_percent: Decimal
    list_amount: Decimal
    """Before the discount."""
    amount: Decimal
    currency: str

    @property
    def billed(self) -> Decimal | None:
        """For how many seconds; of a line that crosses tiers this tier's share, to the microsecond. None: it was counted."""
        return None if size_of(self.meter) else time_of(self.quantity, self.units)

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What lines summed by price have in common."""

    sku: str
    units: Decimal
    price_per_hour: Decimal | None
    discount_percent: Decimal


@dataclass(frozen=True, kw_only=True)
class Total:
    """The sum of the lines that agree in the groups asked for and in their currency; the other groups are None."""

    project: Named | None = None
    resource: Named | None = None
    meter: str | None = None
    region: UUID | None = None
    day: date | None = None
    price: Rate | None = None
    tags: tuple[tuple[str, str | None], ...] = ()
    quantity: Decimal
    amount: Decimal
    currency: str

    @property
    def seconds(self) -> Decimal | None:
        """How long those units were billed, to the microsecond; None unless they were summed by price, or were counted."""
        return time_of(self.quantity, self.price.units) if self.price and not size_of(self.meter) else None

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)

    @property
    def unit(self) -> str | None:
        """The unit of `quantity`; None when different meters were added up."""
        return unit_of(self.meter) if self.meter else None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the totals, how many there are, and what all of them amount to."""

    totals: tuple[Total, ...]
    count: int


def unit_of(meter: str) -> str:
    """What the quantity of a meter counts (`GiB-second`). A meter whose room is gone keeps its old usage."""
    declared = registry.meters.get(meter)
    return declared.unit if declared else "second"


def size_of(meter: str | None) -> int | None:
    """How many units of a counter have one price; None: the meter is no counter."""
    declared = registry.meters.get(meter) if meter else None
    return declared.size if declared and declared.kind == COUNTER else None


def units_in(meter: str | None, quantity: Decimal) -> Decimal:
    """Unit-seconds as they are; of a counter, of which they are so many as if it were used for an hour, its units."""
    size = size_of(meter)
    if size is None:
        return quantity
    with localcontext() as context:
        context.prec = 60
        return quantity * size / 3600


def time_of(quantity: Decimal, units: Decimal) -> Decimal:
    """Seconds in which so many units make so many unit-seconds."""
    with localcontext() as context:
        context.prec = 60
        return (quantity / units).quantize(MICROSECOND)
