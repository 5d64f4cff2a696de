"""What is written on every bill: who bills whom, from which day on at which tax, and its number."""
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.translation import gettext_lazy as _

from billing.models import BillingProfile, Issuer, TaxRate
from billing.periods import Month
from billing.profiles import profile_of
from portal.kernel.errors import InvalidInput
from tenants.models import Organization

CENT, MOST, LONGEST_TEXT = Decimal("0.01"), Decimal("1000000000000"), 200


def issuer() -> Issuer:
    """The company that bills; the defaults where none was entered."""
    return Issuer.objects.first() or Issuer()


def seller(of: Issuer) -> dict[str, str]:
    """As an invoice keeps it."""
    return {name: getattr(of, name) for name in ("name", "address", "country", "tax_id", "email", "bank")}


def buyer(organization: Organization, of: Issuer) -> dict[str, str]:
    """As an invoice keeps it."""
    profile = profile_of(organization)
    kept = {name: getattr(profile, name) for name in ("address", "tax_id", "email", "language")}
    return {"name": profile.name or organization.name, "country": _country(profile, of), **kept}


def tax_on(organization: Organization, of: Issuer, last_day: date) -> TaxRate | None:
    """The rate of the customer's country that holds on the day; None: no tax is added."""
    profile = profile_of(organization)
    if profile.is_tax_exempt:
        return None
    return TaxRate.objects.filter(country=_country(profile, of), since__lte=last_day).order_by("-since").first()


def _country(profile: BillingProfile, of: Issuer) -> str:
    return profile.country or of.country


def next_number(of: Issuer, now: datetime) -> str:
    """The next number of the year, such as INV-2026-000001. The series is held until the transaction ends, and one that fails
    gives its number back: there is no gap."""
    series = f"{of.prefix}{now.astimezone(ZoneInfo(of.time_zone)).year}"
    return f"{series}-{_next_of(series):06}"


def next_reference(of: Issuer, now: datetime) -> str:
    """What a payment is known by that is begun here, such as PAY-2026-11-0001: people read it out. One that nobody ends leaves a
    gap, which says nothing."""
    series = f"PAY-{Month.of(now, of.time_zone)}"
    return f"{series}-{_next_of(series):04}"


def _next_of(series: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO billing_series AS series (name, last) VALUES (%s, 1)"
                       " ON CONFLICT (name) DO UPDATE SET last = series.last + 1 RETURNING last", [series])
        return cursor.fetchone()[0]


def rounded(amount: Decimal) -> Decimal:
    """To the cent, half up (away from zero, as PostgreSQL rounds)."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def taxed(amount: Decimal, percent: Decimal) -> Decimal:
    return rounded(amount * percent / 100)


def wrong_amount(amount: Decimal, *, may_be_negative: bool = False) -> list[object]:
    """What is wrong with an amount of money that somebody entered."""
    is_exact = isinstance(amount, Decimal) and amount.is_finite() and abs(amount) < MOST and amount == rounded(amount)
    if is_exact and (amount > 0 or (amount < 0 and may_be_negative)):
        return []
    return [_("Not 0, with at most two digits after the point.") if may_be_negative else
            _("More than 0, with at most two digits after the point.")]


def wrong_text(text: str) -> list[object]:
    """What is wrong with a reason or description that stands on a bill."""
    return [] if text.strip() and len(text) <= LONGEST_TEXT and text.isprintable() else [_("One line of up to 200 characters.")]


def check(**wrong: list[object]) -> None:
    """Raise InvalidInput naming the fields in which something is wrong."""
    if errors := {name: found for name, found in wrong.items() if found}:
        raise InvalidInput(errors=errors)
