"""Money: a decimal amount with its currency, and how it is written. No rates, no prices."""
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

SYMBOLS = {"CNY": "¥", "EUR": "€", "USD": "$"}
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Money:
    """An exact amount; shown shorter, never rounded here."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return Money(self.amount + other.amount, self.currency)

    def as_json(self) -> dict[str, str]:
        """The API's form: all digits that mean something, at least two after the point, never an exponent."""
        return {"amount": plain(self.amount), "currency": self.currency}

    def __str__(self) -> str:
        return f"{plain(self.amount)} {self.currency}"


def together(amounts: Iterable[Money]) -> list[Money]:
    """The sums, one for each currency, in the order of their names."""
    sums: dict[str, Decimal] = {}
    for one in amounts:
        sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.amount
    return [Money(amount, currency) for currency, amount in sorted(sums.items())]


def plain(amount: Decimal, least: int = 2) -> str:
    """Digits without exponent and without trailing zeros beyond `least` decimals."""
    whole, _point, part = f"{amount:f}".partition(".")
    part = part.rstrip("0").ljust(least, "0")
    return f"{whole}.{part}" if part else whole


def shown_decimals(amount: Decimal) -> int:
    """How many decimals a person needs: two, or as many as show two digits of an amount below one cent."""
    size = abs(amount)
    if size == 0 or size >= CENT:
        return 2
    return min(10, 1 - size.adjusted())


def shown(amount: Decimal) -> Decimal:
    """The amount rounded (half up) to what a person is shown."""
    with localcontext() as context:
        context.prec = 60
        return amount.quantize(Decimal(1).scaleb(-shown_decimals(amount)), ROUND_HALF_UP)
