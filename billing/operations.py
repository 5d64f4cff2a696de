"""Operators' verbs on prices and credit. A price is never edited: a new version takes over at an instant that is not past.
A credit is never edited at all: a further one is granted.
"""
from datetime import datetime
from decimal import Decimal, InvalidOperation

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils.translation import gettext_lazy as _

from billing import rating
from billing.models import Credit, Price, PriceBook
from portal.kernel import audit
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from portal.kernel.states import database_now
from tenants.models import Organization

CENT, MOST_CREDIT, LONGEST_REASON = Decimal("0.01"), Decimal("1000000000"), 200
STEP = Decimal("0.0000000001")  # the scale of Price.price_per_hour
LIMIT = Decimal("10000000000")


@transaction.atomic
def set_price(book: PriceBook, *, region: Region, meter: str, sku: str, price_per_hour: Decimal, actor,
              valid_from: datetime | None = None, now: datetime | None = None) -> Price:
    """One unit costs this from `valid_from` (now when not given) until the next version that is already planned.

    The version before ends there. Setting the price that holds already changes nothing. Raises InvalidInput for a
    moment in the past, an unknown meter, or a price that is negative or has more digits than are stored.
    """
    amount = _checked(meter, sku, price_per_hour)
    PriceBook.objects.select_for_update(no_key=True).get(pk=book.pk)  # versions of a book are made one after another
    now = now or database_now()
    start = valid_from or now
    if start < now:
        raise InvalidInput.field("valid_from", _("A price cannot change the past."))
    versions = Price.objects.filter(book=book, region=region, meter=meter, sku=sku)
    before = versions.at(start).first()
    if before is not None and before.price_per_hour == amount:
        return before
    price = Price.objects.create(book=book, region=region, meter=meter, sku=sku, price_per_hour=amount,
                                 valid=DateTimeTZRange(start, _make_room(versions, before, start, now)))
    audit.record("price.set", price, actor=actor, before={"price_per_hour": before.price_per_hour} if before else None,
                 after={"book": book.name, "region": region.slug, "price_per_hour": amount,
                        "valid_from": start.isoformat()})
    return price


def _checked(meter: str, sku: str, price_per_hour: Decimal) -> Decimal:
    """The price at the stored scale; raises InvalidInput naming the field."""
    if meter not in registry.meters:
        raise InvalidInput.field("meter", _("There is no such meter."))
    if not sku or len(sku) > 100:
        raise InvalidInput.field("sku", _("Between 1 and 100 characters."))
    try:
        amount = Decimal(price_per_hour)
        exact = amount.is_finite() and abs(amount) < LIMIT and amount.quantize(STEP) == amount
    except (InvalidOperation, ValueError, TypeError) as error:
        raise InvalidInput.field("price_per_hour", _("This is not a number.")) from error
    if not exact or amount < 0:
        raise InvalidInput.field("price_per_hour", _("From 0, with at most 10 digits before and 10 after the point."))
    return amount.quantize(STEP)


def _make_room(versions, before: Price | None, start: datetime, now: datetime) -> datetime | None:
    """End the version that holds at `start` there; returns when the new one ends (None: until further notice)."""
    if before is None:
        following = versions.filter(valid__startswith__gt=start).order_by("valid__startswith").first()
        return following.valid.lower if following else None
    end = before.valid.upper
    if before.valid.lower < start:
        before.valid = DateTimeTZRange(before.valid.lower, start)
        before.save(update_fields=["valid"])
    elif start > now:
        before.delete()  # planned for the same instant and not in force yet: replaced
    else:
        raise InvalidInput.field("valid_from", _("A price that starts at this instant exists already."))
    return end


@transaction.atomic
def grant_credit(organization: Organization, *, amount: Decimal, reason: str, actor, expires_at: datetime | None = None,
                 now: datetime | None = None) -> Credit:
    """Give the organization so much to spend from now on, in the currency of the prices.

    Raises InvalidInput for an amount that is not positive or finer than a cent, a missing reason, or a past expiry.
    """
    now = now or database_now()
    errors = {}
    if not (amount.is_finite() and 0 < amount < MOST_CREDIT and amount.quantize(CENT) == amount):
        errors["amount"] = [_("More than 0, with at most two digits after the point.")]
    if not reason.strip() or len(reason) > LONGEST_REASON or not reason.isprintable():
        errors["reason"] = [_("One line of up to 200 characters.")]
    if expires_at is not None and expires_at <= now:
        errors["expires_at"] = [_("This is in the past.")]
    if errors:
        raise InvalidInput(errors=errors)
    credit = Credit.objects.create(organization=organization, amount=amount, currency=rating.currency(), reason=reason,
                                   granted_by=actor, expires_at=expires_at, created_at=now)
    audit.record("credit.grant", credit, actor=actor, after={
        "organization": organization.name, "amount": amount, "currency": credit.currency, "reason": reason,
        "expires_at": expires_at and expires_at.isoformat()})
    return credit
