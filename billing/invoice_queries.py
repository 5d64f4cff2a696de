"""Page-shaped reads of bills: what is still to be paid, and how an organization's account stands."""
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, Sum
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from billing import credit, rating
from billing.costs import this_month
from billing.models import Account, BillingProfile, Dunning, Entry, Invoice, Leg, Payment, Rung
from billing.models.ledger import billed_to
from billing.money import Money
from billing.payments import open_amount, receivable
from billing.periods import Month
from billing.prepaid import Outlook, outlook
from portal.kernel.remembered import remembered
from portal.kernel.states import database_now
from tenants.models import Organization, User

ZERO = Decimal(0)
MOST_SHOWN, MOST_OFFERED = 5, 50
PAID, OPEN, OVERDUE, NOTE = "paid", "open", "overdue", "note"
TONES = {PAID: "ok", OPEN: "busy", OVERDUE: "bad", NOTE: "off"}
BY = {"settlement": _("Payment"), "credit_note": _("Credit note"), "write_off": _("Written off")}
"""What takes something off an invoice, by the kind of its entry."""
WORDS = {PAID: _("Paid"), OPEN: _("To pay"), OVERDUE: _("Overdue"), NOTE: _("Credit note")}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An invoice, and how much of it is still to be paid."""

    invoice: Invoice
    unpaid: Decimal
    now: datetime

    @property
    def state(self) -> str:
        if self.invoice.kind == Invoice.Kind.CREDIT_NOTE:
            return NOTE
        if self.unpaid <= 0:
            return PAID
        return OVERDUE if self.invoice.due_at <= self.now else OPEN

    @property
    def tone(self) -> str:
        return TONES[self.state]

    @property
    def word(self) -> Any:
        return WORDS[self.state]

    @property
    def sign(self) -> int:
        """What a credit note says is taken back."""
        return -1 if self.invoice.kind == Invoice.Kind.CREDIT_NOTE else 1

    @property
    def total(self) -> Money:
        return Money(self.sign * self.invoice.total, self.invoice.currency)

    @property
    def open(self) -> Money:
        return Money(self.unpaid, self.invoice.currency)

    @property
    def paid(self) -> Money:
        """By money, credit notes and what was written off."""
        return Money(self.invoice.total - self.unpaid, self.invoice.currency)


def unpaid(user: User) -> QuerySet[Leg]:
    """Ids of the invoices that the user sees and of which something is to be paid."""
    return receivable(Leg.objects.visible_to(user)).filter(left__gt=0).values("bill")


def standings(invoices: Iterable[Invoice], *, now: datetime | None = None) -> list[Standing]:
    """In the order given; one statement."""
    found = list(invoices)
    now, amounts = now or database_now(), open_amount(found)
    return [Standing(invoice=one, unpaid=amounts[one.pk], now=now) for one in found]


Booked = tuple[str, str, Decimal]
"""What an account holds: its name, the currency, the sum."""


@dataclass(frozen=True, kw_only=True)
class Standings:
    """How the account of an organization stands: what it paid in advance, owes, has as credit, and used this month."""

    organization: Organization
    user: User
    now: datetime

    @cached_property
    def _balances(self) -> list[Booked]:
        return _booked([self.organization])[self.organization.pk]

    def _balance(self, account: Account, sign: int) -> list[Money]:
        return [Money(sign * left, currency) for name, currency, left in self._balances if name == account and left]

    @property
    def prepaid(self) -> list[Money]:
        return self._balance(Account.PREPAID, -1)

    @property
    def owed(self) -> list[Money]:
        return self._balance(Account.RECEIVABLE, 1)

    @cached_property
    def this_month(self) -> list[Money]:
        """What was used since the month began, by currency."""
        month, pk = this_month(self.now), self.organization.pk
        return remembered(("account", pk, month), lambda: _used(pk, month, self.now))

    @cached_property
    def credits(self) -> list[credit.Balance]:
        return credit.balances([self.organization])

    @cached_property
    def outlook(self) -> Outlook | None:
        """How long what is left lasts, of who lives on it."""
        found = self.credits[0] if self.credits and credit.pays_by_credit(self.organization, lately=True) else None
        return found and outlook(found, now=self.now, lately=True)

    @cached_property
    def dunning(self) -> Dunning | None:
        """Where it stands on the ladder of who does not pay; None on the ground."""
        found = getattr(self.organization, "dunning", None)
        return None if found is None or found.rung == Rung.NONE else found

    @property
    def profile(self) -> BillingProfile:
        return getattr(self.organization, "billing_profile", None) or BillingProfile(organization=self.organization)

    @cached_property
    def unpaid(self) -> list[Standing]:
        """The oldest invoices that are to be paid."""
        rows = Invoice.objects.filter(organization=self.organization, pk__in=receivable(
            Leg.objects.filter(organization=self.organization)).filter(left__gt=0).values("bill"))
        return standings(rows.order_by("due_at", "pk")[:MOST_SHOWN], now=self.now)

    @cached_property
    def payments(self) -> list[Payment]:
        return list(Payment.objects.filter(organization=self.organization).order_by("-received_at", "-pk")[:MOST_SHOWN])


def accounts(organizations: Iterable[Organization], *, user: User, now: datetime) -> list[Standings]:
    """Of several, in the order given, with `billing_profile` and `dunning` selected: what was booked and granted is read of all
    together. What those used who live on it is rated of each by itself."""
    rows = list(organizations)
    booked = _booked(rows)
    found = [Standings(organization=one, user=user, now=now) for one in rows]
    on_credit = [one.organization for one in found
                 if one.organization.plan == Organization.Plan.TRIAL or one.profile.is_prepaid]
    left: dict[UUID, list[credit.Balance]] = defaultdict(list)  # who paid in another currency before has several
    for balance in credit.balances(on_credit):
        left[balance.organization.pk].append(balance)
    for one in found:
        vars(one).update(_balances=booked[one.organization.pk], credits=left[one.organization.pk])
    return found


def _booked(organizations: Iterable[Organization]) -> dict[UUID, list[Booked]]:
    legs = Leg.objects.filter(organization__in=[one.pk for one in organizations],
                              account__in=(Account.PREPAID, Account.RECEIVABLE)).order_by()
    sums = legs.values("organization", "account", "currency").annotate(left=Sum("amount")).order_by("currency")
    found: dict[UUID, list[Booked]] = defaultdict(list)
    for organization, *booked in sums.values_list("organization", "account", "currency", "left"):
        found[organization].append(tuple(booked))
    return found


def _used(organization: UUID, month: Month, now: datetime) -> list[Money]:
    totals = rating.totals(rating.Selection(projects=None, organization=organization), ("project",), start=month.start,
                           end=month.end, now=now).totals
    found: dict[str, Decimal] = {}
    for total in totals:
        found[total.currency] = found.get(total.currency, ZERO) + total.amount
    return [Money(amount, currency) for currency, amount in sorted(found.items())]


def billed(user: User) -> QuerySet[Organization]:
    """Organizations whose bills the user may see, by name."""
    rows = Organization.objects.visible_to(user)
    if not user.grants.sees_everything:
        rows = rows.filter(pk__in=billed_to(user, "invoice.view"))
    return rows.select_related("billing_profile", "dunning").order_by("name", "pk")


def settled_by(invoice: Invoice) -> list[tuple[Entry, Any, Money]]:
    """What changed what is to be paid since it was issued: (entry, what it is, amount), oldest first."""
    legs = Leg.objects.filter(account=Account.RECEIVABLE, organization=invoice.organization_id, entry__kind__in=BY).filter(
        Q(entry__invoice=invoice) | Q(entry__invoice__corrects=invoice)).select_related("entry__invoice")
    return [(leg.entry, BY[leg.entry.kind], Money(leg.amount, leg.currency))
            for leg in legs.order_by("entry__at", "entry__pk")]
