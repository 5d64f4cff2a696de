"""Operators' verbs on prices, terms, outages and credit. A credit is never edited: a further one is granted."""
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import issuing, rating, scopes
from billing.models import Credit
from billing.price_verbs import record_outage, set_price, set_terms
from portal.kernel import audit
from portal.kernel.models import Region
from portal.kernel.states import database_now
from tenants.models import Organization

__all__ = ["grant_credit", "record_outage", "set_price", "set_terms"]


@transaction.atomic
def grant_credit(organization: Organization, *, amount: Decimal, reason: str, actor, expires_at: datetime | None = None,
                 meters: list[str] | None = None, region: Region | None = None, now: datetime | None = None) -> Credit:
    """Give the organization so much to spend from now on, in the currency of the prices; on some meters or in one region alone
    where they are named.

    Raises InvalidInput for an amount that is not positive or finer than a cent, a missing reason, a past expiry, or a meter that
    there is not.
    """
    now, meters = now or database_now(), meters or []
    is_past = expires_at is not None and expires_at <= now
    issuing.check(amount=issuing.wrong_amount(amount), reason=issuing.wrong_text(reason), meters=scopes.wrong_meters(meters),
                  expires_at=[_("This is in the past.")] if is_past else [])
    credit = Credit.objects.create(organization=organization, amount=amount, currency=rating.currency(), reason=reason,
                                   granted_by=actor, expires_at=expires_at, created_at=now, meters=meters, region=region)
    audit.record("credit.grant", credit, actor=actor, after={
        "organization": organization.name, "amount": amount, "currency": credit.currency, "reason": reason,
        "expires_at": expires_at and expires_at.isoformat(), "meters": meters, "region": region and region.slug})
    return credit
