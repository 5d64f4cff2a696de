"""What is left of an organization's credit: what was granted, less what it paid of invoices, less what was used since and is
not invoiced yet, by `billing.rating`'s own lines.

Credits that have expired pay for nothing any more; what was used since the oldest of the others was granted, in months that
have no invoice, is taken off them all. `left` may fall below zero: what runs goes on when the credit is gone.

Of an organization that pays in advance, what it paid in and has not used is there too, less what is open of its invoices; what
no invoice says yet counts since it exists, and where credit does not pay for it, with the tax that will be on it.

Credit that pays for some usage alone (`billing.scopes`) counts as far as it paid or will pay for what was used; what is left of
it is told by itself (`scoped`), because nothing else is paid by it.
"""
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import OuterRef, Q, Subquery, Sum

from billing import issuing, rating, scopes
from billing.models import Account, BillingProfile, Charge, Credit, CreditUse, Invoice, Leg, PriceBook
from billing.models.ledger import sees_costs
from billing.money import Money, plain, shown
from billing.prices import Estimate, NoPrice, contract_of, price_of
from billing.seen import means_of
from portal.kernel.declarations import registry
from portal.kernel.errors import PaymentRequired, PrepaidUsedUp
from portal.kernel.remembered import LATELY_S, remembered
from portal.kernel.states import CLOCK, database_now
from tenants.models import Organization, Project

ZERO, HOUR = Decimal(0), timedelta(hours=1)
MOST_SHOWN = 3

INVOICED = Subquery(CreditUse.objects.filter(credit=OuterRef("pk")).values("credit").values_list(Sum("amount")))
"""How much of a credit paid for invoices. No join: the clock is another one in each joined row."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """An organization's credit at one moment. `expires_at`: when the first part of it does.

    `money`: what it paid in and has not used, less what is open of invoices; none where it does not pay in advance.
    """

    organization: Organization
    granted: Money
    used: Money
    expires_at: datetime | None
    is_prepaid: bool = False
    is_earlier: bool = False
    """In a currency in which it paid before: nothing new is paid by it."""
    money: Decimal = ZERO
    tax_percent: Decimal = ZERO
    scoped: tuple[scopes.Rest, ...] = ()
    """What is left of credit that pays for some usage alone; not in `granted` and `left`."""

    def unpaid(self, amounts: Mapping[scopes.Part, Decimal]) -> Decimal:
        """How much of these is not paid by credit that is for just that."""
        credits = [(one.credit, one.left) for one in self.scoped]
        return sum(amounts.values(), ZERO) - sum(scopes.paid_by(credits, amounts).values(), ZERO)

    def is_short_of(self, price: Estimate, running: Mapping[scopes.Part, Decimal]) -> bool:
        """Whether it does not pay for an hour of something new beside an hour of what runs."""
        together = dict(running)
        for line in price.lines:
            part = (price.region, line.meter)
            together[part] = together.get(part, ZERO) + line.hourly.amount
        needed = self.unpaid(together)
        if self.scoped and needed == self.unpaid(running):  # there is credit for just that
            return False
        return self.is_used_up or self.after(needed) < 0

    @property
    def left(self) -> Money:
        return Money(self.after(ZERO), self.granted.currency)

    def after(self, amount: Decimal) -> Decimal:
        """What is left when so much more is used: of credit first, and then of money, which pays the tax as well."""
        rest = self.granted.amount - self.used.amount - amount
        return self.money + (rest if rest >= 0 else rest * (100 + self.tax_percent) / 100)

    @property
    def reach(self) -> Decimal:
        """How much more may be used, before tax; below zero when more than all is used."""
        rest, left = self.granted.amount - self.used.amount, self.left.amount
        return left if left <= rest else rest + self.money * 100 / (100 + self.tax_percent)

    @property
    def shown_left(self) -> Decimal:
        """For bars: never below nothing."""
        return max(ZERO, self.left.amount)

    @property
    def is_used_up(self) -> bool:
        return self.left.amount <= 0

    @property
    def is_low(self) -> bool:
        """Less than a fifth is left."""
        return not self.is_earlier and self.left.amount * 5 < self.granted.amount


def pays_by_credit(organization: Organization, *, lately: bool = False) -> bool:
    """Whether nothing starts without credit, or money paid in: it is on trial, or pays in advance. `lately` as below."""
    return organization.plan == Organization.Plan.TRIAL or bool(prepaid_among([organization], lately=lately))


def prepaid_among(organizations: Iterable[Organization], *, lately: bool = False) -> set[UUID]:
    """Ids of those that pay in advance. `lately`: only to be shown, so it may be some seconds old."""
    ids = frozenset(one.pk for one in organizations)

    def read() -> set[UUID]:
        return set(BillingProfile.objects.filter(pk__in=ids, is_prepaid=True).values_list("pk", flat=True))

    return remembered(("prepaid", ids), read, least_s=LATELY_S) if lately else read()


def balances(organizations: Iterable[Organization], *, now: datetime | None = None) -> list[Balance]:
    """Of those that live on credit or have some, in the currency of the prices: one statement, and one for each.

    Of who pays in advance the first is in the currency in which it pays, and another one follows for each currency in which it
    paid before and something is left or owed.

    Without `now` they are for being shown: what was used may be some seconds old, so that not every page rates all usage
    anew; what was granted never is.
    """
    organizations = list(organizations)
    if not organizations:
        return []
    granted: dict[UUID, list[Credit]] = {}
    book = PriceBook.objects.filter(is_default=True)
    moment, prepaid = now or CLOCK, prepaid_among(organizations, lately=now is None)
    of_prices = Q(currency__in=book.values("currency")) | Q(organization__in=prepaid)
    for credit in Credit.objects.at(moment).filter(of_prices, organization__in=organizations,
                                                   created_at__lte=moment).select_related("region").annotate(
                                                       now=CLOCK, invoiced=INVOICED):
        granted.setdefault(credit.organization_id, []).append(credit)
    found: list[Balance] = []
    for one in organizations:
        if one.pk in prepaid:
            found += _in_advance(one, granted.get(one.pk, []), now)
        elif one.pk in granted or one.plan == Organization.Plan.TRIAL:
            found.append(_balance(one, granted.get(one.pk, []), now))
    return found


def balances_seen(user, project: Project | None) -> list[Balance]:
    """Of the organizations whose credit `user` may see: the chosen project's, or the first few of all that have some."""
    if project is not None:
        return balances([project.organization]) if user.grants.may("usage.view", project.pk) else []
    credits = Credit.objects.visible_to(user).at(CLOCK).order_by("organization_id").distinct("organization_id")
    return balances([one.organization for one in credits.select_related("organization")[:MOST_SHOWN]])


def _balance(organization: Organization, credits: list[Credit], now: datetime | None) -> Balance:
    used = _used(organization, credits, now) if credits else ZERO
    currency = credits[0].currency if credits else rating.currency()
    granted, scoped = _granted(organization, credits, currency, now)
    return Balance(organization=organization, used=Money(used, currency), granted=Money(granted, currency), scoped=scoped,
                   expires_at=min((credit.expires_at for credit in credits if credit.expires_at), default=None))


def _in_advance(organization: Organization, credits: list[Credit], now: datetime | None) -> list[Balance]:
    """Of an organization that pays in advance: in the currency that it pays in, and in others in which it paid before."""
    currency = currency_of(organization, now)
    legs = Leg.objects.filter(organization=organization, account__in=(Account.PREPAID, Account.RECEIVABLE)).order_by()
    money = {name: -amount for name, amount in legs.values_list("currency").annotate(Sum("amount"))}
    start = min([organization.created_at, *(credit.created_at for credit in credits)])

    def unbilled() -> tuple[dict[str, Decimal], Decimal]:
        moment = now or database_now()
        return _unbilled_since(organization, start, moment), _tax_percent(organization, moment)

    key = ("in advance", organization.pk, start, *((credit.pk, credit.invoiced) for credit in credits), *sorted(money.items()))
    used, percent = unbilled() if now else remembered(key, unbilled, least_s=LATELY_S)

    def balance(name: str) -> Balance:
        own = [credit for credit in credits if credit.currency == name]
        invoiced = sum((credit.invoiced or ZERO for credit in own), ZERO)
        granted, scoped = _granted(organization, own, name, now)
        return Balance(organization=organization, used=Money(invoiced + used.get(name, ZERO), name), is_prepaid=True,
                       is_earlier=name != currency, money=money.get(name, ZERO), granted=Money(granted, name),
                       tax_percent=percent, scoped=scoped,
                       expires_at=min((credit.expires_at for credit in own if credit.expires_at), default=None))

    before = {name for amounts in (money, used) for name, amount in amounts.items() if amount} - {currency}
    return [balance(currency), *(one for one in map(balance, sorted(before)) if one.left.amount)]


def currency_of(organization: Organization, now: datetime | None) -> str:
    """In which an organization pays; that of the prices where there are none yet."""
    try:
        return contract_of(organization, now or CLOCK).currency
    except NoPrice:
        return rating.currency()


def _tax_percent(organization: Organization, now: datetime) -> Decimal:
    issuer = issuing.issuer()
    rate = issuing.tax_on(organization, issuer, now.astimezone(ZoneInfo(issuer.time_zone)).date())
    return rate.percent if rate else ZERO


def _used(organization: Organization, credits: list[Credit], now: datetime | None) -> Decimal:
    start, currency = min(credit.created_at for credit in credits), credits[0].currency
    invoiced = sum((credit.invoiced or ZERO for credit in credits), ZERO)
    if now is not None:
        return invoiced + _unbilled_since(organization, start, now).get(currency, ZERO)
    used = remembered(("credit", organization.pk, start, invoiced),
                      lambda: _unbilled_since(organization, start, credits[0].now), least_s=LATELY_S)
    return invoiced + used.get(currency, ZERO)


def _unbilled_since(organization: Organization, start: datetime, now: datetime) -> dict[str, Decimal]:
    """What was used since, by currency, apart from months that have an invoice: there credit was taken off for good. With the
    adjustments that the next invoice will have."""
    selection = rating.Selection(projects=None, organization=organization.pk)
    used: dict[str, Decimal] = {}
    for currency, _region, _meter, amount in _waiting(organization):
        used[currency] = used.get(currency, ZERO) + amount
    for since, until in _not_invoiced(organization, start, now):
        for total in rating.totals(selection, ("project",), start=since, end=until, now=now).totals:
            used[total.currency] = used.get(total.currency, ZERO) + total.amount
    return used


def _granted(organization: Organization, credits: list[Credit], currency: str,
             now: datetime | None) -> tuple[Decimal, tuple[scopes.Rest, ...]]:
    """(Granted for everything, and what credit for some usage alone pays of what was used; what is left of the latter.)"""
    if not any(credit.is_scoped for credit in credits):
        return sum((credit.amount for credit in credits), ZERO), ()
    left = [(credit, credit.amount - (credit.invoiced or ZERO)) for credit in credits]
    start, regions = min(credit.created_at for credit in credits), {credit.region_id for credit in credits} - {None}

    def read() -> dict[UUID, Decimal]:
        parts = _unbilled_parts(organization, start, currency, regions, now or database_now())
        return scopes.paid_by(left, parts, max(ZERO, sum(parts.values(), ZERO)))  # as closing: what is given back is not paid

    key = ("scoped credit", organization.pk, currency, *((credit.pk, rest) for credit, rest in left))
    paid = read() if now else remembered(key, read, least_s=LATELY_S)
    granted = sum((credit.amount if not credit.is_scoped else (credit.invoiced or ZERO) + paid.get(credit.pk, ZERO)
                   for credit in credits), ZERO)
    return granted, tuple(scopes.Rest(credit=credit, left=rest - paid.get(credit.pk, ZERO)) for credit, rest in left
                          if credit.is_scoped)


def _unbilled_parts(organization: Organization, start: datetime, currency: str, regions: set[UUID],
                    now: datetime) -> dict[scopes.Part, Decimal]:
    """As `_unbilled_since`, of one currency, by meter and those regions; what was used elsewhere stands under None."""
    found: dict[scopes.Part, Decimal] = {}
    for name, region, meter, amount in _waiting(organization):
        if name == currency:
            part = (region if region in regions else None, meter)
            found[part] = found.get(part, ZERO) + amount
    for since, until in _not_invoiced(organization, start, now):
        selection = rating.Selection(projects=None, organization=organization.pk)
        for part, amount in _parts(selection, currency, regions, since, until, now).items():
            found[part] = found.get(part, ZERO) + amount
    return found


def _parts(selection: rating.Selection, currency: str, regions: Collection[UUID], start: datetime, end: datetime,
           now: datetime) -> dict[scopes.Part, Decimal]:
    """What is used from `start` to `end`, before tax, by meter and these regions. One statement, and one for each region."""
    found: dict[scopes.Part, Decimal] = {}
    for region in (None, *sorted(regions)):
        there = replace(selection, regions=region and [region])
        for total in rating.totals(there, ("meter",), start=start, end=end, now=now).totals:
            if total.currency == currency:
                found[region, total.meter] = total.amount
                if region is not None:
                    # What began between the two statements is not in the first.
                    found[None, total.meter] = found.get((None, total.meter), ZERO) - total.amount
    return found


def running(organization: Organization, currency: str, now: datetime, regions: Collection[UUID] = (), *,
            without: Collection[UUID] = ()) -> dict[scopes.Part, Decimal]:
    """What runs now costs in the hour that comes, before tax: tiers and discounts are those that will hold. All but the resources
    `without`."""
    hour = (currency, regions, now, now + HOUR, now + HOUR)
    found = _parts(rating.Selection(projects=None, organization=organization.pk), *hour)
    if without:
        those = rating.Selection(projects=None, organization=organization.pk, resources=list(without))
        for part, amount in _parts(those, *hour).items():
            found[part] = found.get(part, ZERO) - amount
    return found


def _soon(organization: Organization, currency: str, now: datetime, regions: Collection[UUID],
          instead_of: UUID | None) -> dict[scopes.Part, Decimal]:
    """As `running`, once what is about to run does: who asks again and again is not the first each time. Without `instead_of`."""
    coming = [one for hook in registry.coming_hooks for one in hook(organization) if one[0] != instead_of]
    found = running(organization, currency, now, regions, without={pk for pk, *_what in coming} | ({instead_of} - {None}))
    alike = Counter((region, readings) for _pk, region, readings in coming)
    for (region, readings), count in alike.items():
        with suppress(NoPrice):  # it had one when it was asked for; what has none now costs nothing
            for line in price_of(organization, region, readings, now).lines:
                part = (region.pk, line.meter)
                found[part] = found.get(part, ZERO) + count * line.hourly.amount
    return found


def _waiting(organization: Organization) -> list[tuple[str, UUID | None, str, Decimal]]:
    """(Currency, region, meter, amount) of the charges that wait for the next invoice: adjustments and corrections."""
    waiting = Charge.objects.filter(organization=organization.pk, line=None).order_by()
    return list(waiting.values_list("currency", "region", "meter").annotate(Sum("amount")))


NOT_INVOICED = """
SELECT lower(part), upper(part) FROM unnest(tstzmultirange(tstzrange(%s, %s)) - COALESCE(
    (SELECT range_agg(period) FROM billing_invoice WHERE organization_id = %s AND kind = %s), tstzmultirange())) AS part
"""


def _not_invoiced(organization: Organization, start: datetime, now: datetime) -> list[tuple[datetime, datetime]]:
    """The parts of the time in which no month was closed; usually one."""
    if start >= now:
        return []
    with connection.cursor() as cursor:
        cursor.execute(NOT_INVOICED, [start, now, organization.pk, Invoice.Kind.INVOICE])
        return cursor.fetchall()


def shortfall(organization: Organization, price: Estimate, *, now: datetime | None,
              instead_of: UUID | None = None) -> tuple[Balance, Decimal] | None:
    """When it pays by credit and has too little for an hour of something new beside what runs: the balance, and what an hour of
    what runs costs. Else None. `instead_of`: a resource that costs the price instead of what it costs now. Without `now` it is
    for being shown, and may be some seconds old; but that something is missing is never said to who has paid since."""
    if now is not None:
        return _short(_standing(organization, now, instead_of), price)

    def lately(*key: Any) -> tuple[Balance, Decimal] | None:
        standing = remembered(("standing", organization.pk, organization.plan, instead_of, *key),
                              lambda: _standing(organization, database_now(), instead_of), least_s=LATELY_S)
        return _short(standing, price)

    return lately() and lately(means_of(organization.pk))


def _short(standing: tuple[Balance, dict[scopes.Part, Decimal]] | None, price: Estimate) -> tuple[Balance, Decimal] | None:
    if standing is None:
        return None
    balance, runs = standing
    return (balance, sum(runs.values(), ZERO)) if balance.is_short_of(price, runs) else None


def _standing(organization: Organization, now: datetime,
              instead_of: UUID | None) -> tuple[Balance, dict[scopes.Part, Decimal]] | None:
    """What is left, and what an hour of what runs costs; None where it does not pay by credit."""
    if not pays_by_credit(organization):
        return None
    balance = balances([organization], now=now)[0]
    regions = {one.credit.region_id for one in balance.scoped} - {None}
    return balance, _soon(organization, balance.left.currency, now, regions, instead_of)


def require(organization: Organization, price: Estimate, *, now: datetime | None, instead_of: UUID | None = None,
            actor: Any = None) -> None:
    """Raise PaymentRequired when the credit does not cover an hour of something new beside what runs; with figures for an actor
    who may see them. Without `now` as for `shortfall`.

    The caller holds the organization's row (`tenants.quotas.reserve`), so two that come at once are asked in turn.
    """
    short = shortfall(organization, price, now=now, instead_of=instead_of)
    if short is not None:
        balance, runs = short
        refusal = PrepaidUsedUp if balance.is_prepaid else PaymentRequired
        figures = {"left": plain(shown(balance.left.amount)), "running": plain(shown(runs)),
                   "hourly": plain(shown(price.hourly.amount)), "currency": balance.left.currency}
        raise refusal(organization=organization.name, **(figures if sees_costs(actor, organization) else {}))
