"""What is left of an organization's credit: what was granted, less what was used since, by `billing.rating`'s own lines.

Nothing is stored beside the grants. Credits that have expired pay for nothing any more; what was used since the oldest
of the others was granted is taken off them all. `left` may fall below zero: what runs goes on when the credit is gone.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing import rating
from billing.models import Credit, PriceBook
from billing.money import Money, plain, shown
from billing.prices import Estimate
from portal.kernel.errors import PaymentRequired
from portal.kernel.remembered import remembered
from portal.kernel.states import CLOCK
from tenants.models import Organization, Project

ZERO = Decimal(0)
MOST_SHOWN = 3
LATELY_S = 5
"""As old may be what is shown of usage; in this time nobody uses an amount that one would see."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """An organization's credit at one moment. `expires_at`: when the first part of it does."""

    organization: Organization
    granted: Money
    used: Money
    expires_at: datetime | None

    @property
    def left(self) -> Money:
        return Money(self.granted.amount - self.used.amount, self.granted.currency)

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
        return self.left.amount * 5 < self.granted.amount


def pays_by_credit(organization: Organization) -> bool:
    """Whether it has no other way to pay, so that nothing starts without credit."""
    return organization.plan == Organization.Plan.TRIAL


def balances(organizations: Iterable[Organization], *, now: datetime | None = None) -> list[Balance]:
    """Of those that live on credit or have some, in the currency of the prices: one statement, and one for each.

    Without `now` they are for being shown: what was used may be some seconds old, so that not every page rates all usage
    anew; what was granted never is.
    """
    organizations = list(organizations)
    if not organizations:
        return []
    granted: dict[UUID, list[Credit]] = {}
    book = PriceBook.objects.filter(is_default=True)
    moment = now or CLOCK
    for credit in Credit.objects.at(moment).filter(organization__in=organizations, currency__in=book.values("currency"),
                                                   created_at__lte=moment).annotate(now=CLOCK):
        granted.setdefault(credit.organization_id, []).append(credit)
    return [_balance(one, granted.get(one.pk, []), now) for one in organizations
            if one.pk in granted or pays_by_credit(one)]


def balances_seen(user, project: Project | None) -> list[Balance]:
    """Of the organizations whose credit `user` may see: the chosen project's, or the first few of all that have some."""
    if project is not None:
        return balances([project.organization]) if user.grants.may("usage.view", project.pk) else []
    credits = Credit.objects.visible_to(user).at(CLOCK).order_by("organization_id").distinct("organization_id")
    return balances([one.organization for one in credits.select_related("organization")[:MOST_SHOWN]])


def _balance(organization: Organization, credits: list[Credit], now: datetime | None) -> Balance:
    used = _used(organization, credits, now) if credits else ZERO
    currency = credits[0].currency if credits else rating.currency()
    return Balance(organization=organization, used=Money(used, currency),
                   granted=Money(sum((credit.amount for credit in credits), ZERO), currency),
                   expires_at=min((credit.expires_at for credit in credits if credit.expires_at), default=None))


def _used(organization: Organization, credits: list[Credit], now: datetime | None) -> Decimal:
    start = min(credit.created_at for credit in credits)
    if now is not None:
        return _used_since(organization, start, now)
    return remembered(("credit", organization.pk, start), lambda: _used_since(organization, start, credits[0].now),
                      least_s=LATELY_S)


def _used_since(organization: Organization, start: datetime, now: datetime) -> Decimal:
    selection = rating.Selection(projects=None, organization=organization.pk)
    found = rating.totals(selection, ("project",), start=start, end=now, now=now)
    return sum((total.amount for total in found.totals), ZERO)


def shortfall(organization: Organization, price: Estimate, *, now: datetime) -> Balance | None:
    """The balance, when it pays by credit and has too little for the first hour of something new; else None."""
    found = balances([organization], now=now) if pays_by_credit(organization) else []
    return next((one for one in found if one.is_used_up or one.left.amount < price.hourly.amount), None)


def require(organization: Organization, price: Estimate, *, now: datetime) -> None:
    """Raise PaymentRequired (with facts) when the credit does not cover the first hour of something new.

    The caller holds the organization's row (`tenants.quotas.reserve`), so two that come at once are asked in turn.
    """
    short = shortfall(organization, price, now=now)
    if short is not None:
        raise PaymentRequired(organization=organization.name, left=plain(shown(short.left.amount)),
                              hourly=plain(shown(price.hourly.amount)), currency=short.left.currency)
