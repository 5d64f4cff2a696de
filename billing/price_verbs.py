"""Operators' verbs on what usage costs. Nothing is edited and nothing past is touched: a new version takes over at an instant
that is not past, the one before ends there, and one that is planned for later stays.
"""
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils.translation import gettext_lazy as _

from billing import issuing
from billing.models import Charge, Credit, Leg, Outage, Price, PriceBook, PriceTier, Terms
from portal.kernel import audit
from portal.kernel.declarations import COUNTER, registry
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region, Resource
from portal.kernel.states import database_now
from tenants.models import Organization

STEP, LIMIT = Decimal("0.0000000001"), Decimal("10000000000")  # the scale and size of Price.price_per_hour
QUANTITY_STEP, QUANTITY_LIMIT = Decimal("0.000001"), Decimal("100000000000000")  # those of PriceTier.from_quantity
GRANULARITIES = (1, 60, 3600)
LONGEST_MINIMUM = timedelta(days=31)
MOST_TIERS = 20
Tier = tuple[Decimal, Decimal]
"""From how many unit-hours on, and what a unit costs an hour there."""


@transaction.atomic
def set_price(book: PriceBook, *, region: Region, meter: str, sku: str, price_per_hour: Decimal, actor,
              tiers: Iterable[Tier] = (), granularity_s: int = 1, minimum_s: int = 0, valid_from: datetime | None = None,
              now: datetime | None = None) -> Price:
    """One unit costs this from `valid_from` (now when not given) until the next version that is already planned.

    `tiers` are further prices from so many unit-hours of the month on. With a granularity of 60 or 3600 a minute or an hour that
    has begun is billed whole; with 1, what was metered. Setting what holds already changes nothing. Raises InvalidInput for a
    moment in the past, an unknown meter, or numbers that are negative or have more digits than are stored.
    """
    _check_kind(meter, sku)
    amount, wanted = _price(price_per_hour, "price_per_hour"), _tiers(tiers)
    _check_time(meter, granularity_s, minimum_s)
    PriceBook.objects.select_for_update(no_key=True).get(pk=book.pk)  # versions of a book are made one after another
    now = now or database_now()
    start = valid_from or now
    if start < now:
        raise InvalidInput.field("valid_from", _("A price cannot change the past."))
    versions = Price.objects.filter(book=book, region=region, meter=meter, sku=sku)
    before = versions.at(start).first()
    says = {"price_per_hour": amount, "granularity_s": granularity_s, "minimum_s": minimum_s, "tiers": wanted}
    if before is not None and _says(before) == says:
        return before
    was = _worth_saying(_says(before)) if before else None
    end = _make_room(versions, before, start, now, _("A price that starts at this instant exists already."))
    price = Price.objects.create(book=book, region=region, meter=meter, sku=sku, price_per_hour=amount, minimum_s=minimum_s,
                                 granularity_s=granularity_s, valid=DateTimeTZRange(start, end))
    PriceTier.objects.bulk_create(PriceTier(price=price, from_quantity=quantity, price_per_hour=each)
                                  for quantity, each in wanted)
    audit.record("price.set", price, actor=actor, before=was, after={
        "book": book.name, "region": region.slug, **_worth_saying(says), "valid_from": start.isoformat()})
    return price


def _worth_saying(says: dict[str, object]) -> dict[str, object]:
    """Without what is so of nearly all prices."""
    usual = {"granularity_s": 1, "minimum_s": 0, "tiers": []}
    return {name: value for name, value in says.items() if name not in usual or value != usual[name]}


def _says(price: Price) -> dict[str, object]:
    return {"price_per_hour": price.price_per_hour, "granularity_s": price.granularity_s, "minimum_s": price.minimum_s,
            "tiers": [(tier.from_quantity, tier.price_per_hour) for tier in price.tiers.all()]}


def _check_kind(meter: str, sku: str) -> None:
    if meter not in registry.meters:
        raise InvalidInput.field("meter", _("There is no such meter."))
    if not sku or len(sku) > 100:
        raise InvalidInput.field("sku", _("Between 1 and 100 characters."))


def _check_time(meter: str, granularity_s: int, minimum_s: int) -> None:
    if registry.meters[meter].kind == COUNTER and (granularity_s, minimum_s) != (1, 0):
        raise InvalidInput.field("granularity_s", _("What is counted has neither steps of time nor a minimum."))
    if granularity_s not in GRANULARITIES:
        raise InvalidInput.field("granularity_s", _("One of 1, 60 and 3600 seconds."))
    if not 0 <= minimum_s <= LONGEST_MINIMUM.total_seconds():
        raise InvalidInput.field("minimum_s", _("From 0 to 31 days."))


def _number(value: Decimal, field: str, step: Decimal, limit: Decimal) -> Decimal | None:
    """The number at its stored scale, None when it does not fit; raises InvalidInput for what is no number."""
    try:
        number = Decimal(value)
        fits = number.is_finite() and 0 <= number < limit and number.quantize(step) == number
    except (InvalidOperation, ValueError, TypeError) as error:
        raise InvalidInput.field(field, _("This is not a number.")) from error
    return number.quantize(step) if fits else None


def _price(value: Decimal, field: str) -> Decimal:
    price = _number(value, field, STEP, LIMIT)
    if price is None:
        raise InvalidInput.field(field, _("From 0, with at most 10 digits before and 10 after the point."))
    return price


def _tiers(tiers: Iterable[Tier]) -> list[Tier]:
    """In their order. Raises InvalidInput."""
    found = []
    for quantity, price in tiers:
        number = _number(quantity, "tiers", QUANTITY_STEP, QUANTITY_LIMIT)
        if not number:
            raise InvalidInput.field("tiers", _("A tier begins above 0, with at most 14 digits before and 6 after the point."))
        found.append((number, _price(price, "tiers")))
    if len({quantity for quantity, _each in found}) < len(found):
        raise InvalidInput.field("tiers", _("Two tiers begin at the same quantity."))
    if len(found) > MOST_TIERS:
        raise InvalidInput.field("tiers", _("At most {most} tiers.").format(most=MOST_TIERS))
    return sorted(found)


def _make_room(versions, before: Price | Terms | None, start: datetime, now: datetime, taken: object) -> datetime | None:
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
        raise InvalidInput.field("valid_from", taken)
    return end


@transaction.atomic
def set_terms(organization: Organization, *, actor, book: PriceBook | None = None, discount_percent: Decimal = Decimal(0),
              valid_from: datetime | None = None, now: datetime | None = None) -> Terms:
    """The organization pays the book's prices (None: the list prices) less the discount, from `valid_from` (now when not given)
    until the next version that is already planned. Setting what holds already changes nothing.

    Raises InvalidInput for a moment in the past, a discount that is not from 0 to 100 with two decimals, or a book in another
    currency than what the organization was charged, given or has paid.
    """
    percent = _number(discount_percent, "discount_percent", Decimal("0.01"), Decimal("100.01"))
    if percent is None:
        raise InvalidInput.field("discount_percent", _("From 0 to 100, with at most two digits after the point."))
    if book is not None and book.is_cost:
        raise InvalidInput.field("book", _("This book says what units cost us: nobody pays by it."))
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)  # its terms are made one after another
    now = now or database_now()
    start = valid_from or now
    if start < now:
        raise InvalidInput.field("valid_from", _("Terms cannot change the past."))
    _check_currency(organization, book or PriceBook.objects.filter(is_default=True).first())
    versions = Terms.objects.filter(organization=organization)
    before = versions.filter(valid__contains=start).first()
    was = before and {"book": before.book and before.book.name, "discount_percent": before.discount_percent}
    says = {"book": book and book.name, "discount_percent": percent}
    if before is not None and was == says:
        return before
    end = _make_room(versions, before, start, now, _("Terms that start at this instant exist already."))
    terms = Terms.objects.create(organization=organization, book=book, discount_percent=percent,
                                 valid=DateTimeTZRange(start, end))
    audit.record("terms.set", terms, actor=actor, before=was,
                 after={"organization": organization.name, **says, "valid_from": start.isoformat()})
    return terms


def _check_currency(organization: Organization, book: PriceBook | None) -> None:
    if book is None:
        return
    for model in (Charge, Credit, Leg):
        other = model.objects.filter(organization=organization).exclude(currency=book.currency).first()
        if other is not None:
            raise InvalidInput.field("book", _("The organization is billed in {currency}; this book is in {other}.").format(
                currency=other.currency, other=book.currency))


@transaction.atomic
def record_outage(resource: Resource, *, start: datetime, end: datetime, reason: str, actor, meters: Iterable[str] = (),
                  now: datetime | None = None) -> Outage:
    """From `start` to `end` the resource was down by the platform's own fault: its usage of the meters (none: of all) is free.

    Raises InvalidInput for a time that is empty or not over, one that overlaps an outage recorded before, an unknown meter, or
    a missing reason. What was invoiced is put right by re-rating.
    """
    wanted = sorted(set(meters))
    if unknown := [name for name in wanted if name not in registry.meters]:
        raise InvalidInput.field("meters", _("There is no meter “{name}”.").format(name=unknown[0]))
    issuing.check(reason=issuing.wrong_text(reason))
    Resource.objects.select_for_update(no_key=True).get(pk=resource.pk)  # its outages are recorded one after another
    now = now or database_now()
    if end > now:
        raise InvalidInput.field("end", _("This is in the future."))
    if start >= end:
        raise InvalidInput.field("end", _("It ends after it begins."))
    period = DateTimeTZRange(start, end)
    if Outage.objects.filter(resource_id=resource.pk, period__overlap=period).exists():
        raise InvalidInput.field("start", _("An outage is recorded for part of this time already."))
    outage = Outage.objects.create(resource_id=resource.pk, meters=wanted, period=period, reason=reason, recorded_by=actor,
                                   created_at=now)
    audit.record("outage.record", resource, actor=actor, after={
        "start": start.isoformat(), "end": end.isoformat(), "meters": wanted, "reason": reason})
    return outage
