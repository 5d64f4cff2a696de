"""Which credit pays for what: some pay for everything, some for certain meters or in one region alone.

One rule for closing a month and for what is left meanwhile. What expires first pays first, of what expires together the one of
the narrower scope. None pays more than there is of what fits, and each takes first what the fewest of the later ones could pay
for, so that a credit for everything leaves to the others what they are good for. Nothing is read or written here.
"""
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing.models import Credit
from billing.money import Money
from portal.kernel.declarations import registry

Part = tuple[UUID | None, str]
"""A region (None: of none, or of none that a credit names) and a meter."""
ZERO = Decimal(0)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What is left of a credit that pays for some usage alone."""

    credit: Credit
    left: Decimal

    @property
    def money(self) -> Money:
        return Money(self.left, self.credit.currency)

    @property
    def what(self) -> str:
        """What it pays for, in words."""
        meters = [str(registry.meters[name].label) if name in registry.meters else name for name in self.credit.meters]
        return " · ".join(filter(None, (", ".join(meters), self.credit.region and self.credit.region.name)))


def paid_by(credits: Iterable[tuple[Credit, Decimal]], amounts: Mapping[Part, Decimal],
            most: Decimal | None = None) -> dict[UUID, Decimal]:
    """Credit → how much it pays, of credits with what is left of them; together no more than `most`."""
    order = sorted((pair for pair in credits if pair[1] > 0), key=lambda pair: _place(pair[0]))
    parts = {part: amount for part, amount in amounts.items() if amount > 0}
    rest = sum(parts.values(), ZERO) if most is None else most
    paid: dict[UUID, Decimal] = {}
    for number, (credit, left) in enumerate(order):
        later = [one for one, _left in order[number + 1:]]
        for part in sorted((part for part in parts if credit.fits(*part)), key=lambda part: _wanted(part, later)):
            taken = min(left, parts[part], rest)
            if taken > 0:
                parts[part] -= taken
                left, rest = left - taken, rest - taken
                paid[credit.pk] = paid.get(credit.pk, ZERO) + taken
    return paid


def _place(credit: Credit) -> tuple:
    width = (credit.region_id is None) + (not credit.meters)
    return credit.expires_at or NEVER, width, len(credit.meters), credit.created_at, credit.pk


def _wanted(part: Part, later: list[Credit]) -> tuple[int, str, str]:
    return sum(one.fits(*part) for one in later), str(part[0]), part[1]


def wrong_meters(meters: list[str]) -> list[object]:
    """What is wrong with the meters that somebody entered."""
    unknown = [name for name in meters if name not in registry.meters]
    return [_("There is no such meter: %(names)s.") % {"names": ", ".join(unknown)[:200]}] if unknown else []
