"""What was wrong in a month that is invoiced: its invoice stays, and charges that put it right wait for the next one."""
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import issuing, rating
from billing.closing import statements
from billing.closing.months import period_of
from billing.models import Charge, Invoice
from billing.money import Money
from billing.periods import Month
from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.states import database_now
from tenants.models import Organization, Project

MOST_SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What an interval, or all that was counted of a resource, costs by now, less what was charged for it."""

    interval: UUID | None
    project: UUID
    resource: UUID
    meter: str
    sku: str
    money: Money


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A month rated anew: the greatest differences, how many there are, and their sums by currency."""

    month: Month
    differences: tuple[Difference, ...]
    count: int
    sums: tuple[Money, ...]


@transaction.atomic
def adjust(organization: Organization, amount: Decimal, text: str, actor, *, project: Project | None = None,
           now: datetime | None = None) -> Charge:
    """Charge so much more (below zero: less) on the next invoice, in the currency of the prices.

    Raises InvalidInput for an amount that is nothing or finer than a cent, a text that is missing or long, and the project
    of another organization.
    """
    issuing.check(amount=issuing.wrong_amount(amount, may_be_negative=True), text=issuing.wrong_text(text),
                  project=[_("This is another organization's.")] if project and (
                      project.organization_id != organization.pk) else [])
    now, issuer = now or database_now(), issuing.issuer()
    charge = Charge.objects.create(
        organization=organization, project=project, kind=Charge.Kind.ADJUSTMENT, text=text.strip(), amount=amount,
        list_amount=amount, currency=rating.currency(), span=period_of(Month.of(now, issuer.time_zone), issuer), created_at=now)
    audit.record("invoice.adjust", organization, actor=actor, after={
        "amount": amount, "currency": charge.currency, "text": charge.text, "project": project and str(project.pk)})
    return charge


@transaction.atomic
def rerate(organization: Organization, month: Month, *, commit: bool, actor=None, now: datetime | None = None) -> Correction:
    """What the month would cost by the usage, prices, terms and outages known by now, less what was charged for it.

    With `commit` the differences wait for the next invoice; again, there are none. Raises InvalidInput for a month that is
    not invoiced: closing it takes what is known then.
    """
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    invoice = Invoice.objects.filter(organization=organization, month=str(month), kind=Invoice.Kind.INVOICE).first()
    if invoice is None:
        raise InvalidInput.field("month", _("This month is not invoiced."))
    statements.take_time()
    rows, sums = statements.differences(organization.pk, invoice.period, most=MOST_SHOWN)
    found = Correction(month=month, differences=tuple(_difference(*row) for row in rows),
                       count=sum(count for _currency, count, _amount in sums),
                       sums=tuple(Money(amount, currency) for currency, _count, amount in sums))
    if commit and found.count:
        statements.correct(organization.pk, invoice.period, now or database_now(), str(month))
        audit.record("invoice.rerate", organization, actor=actor, after={
            "month": str(month), "charges": found.count, "sums": [str(one) for one in found.sums]})
    return found


def _difference(interval, project, _region, resource, meter, sku, currency, _quantity, _list_amount, amount,
                _units) -> Difference:
    return Difference(interval=interval, project=project, resource=resource, meter=meter, sku=sku,
                      money=Money(amount, currency))
