"""Vouchers: codes that give an organization credit. Operators make and withdraw them, members redeem them.

A code is 18 random signs of 5 bits (90 bits) and 2 that check them, so that a slip of the pen is told apart from a code that
gives nothing. Only its digest is kept: with so many bits a plain SHA-256 is not guessed. Why a code gives nothing is never said.
"""
import hashlib
import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import issuing, rating
from billing.models import Credit, Voucher, VoucherUse
from billing.scopes import wrong_meters
from portal.kernel import audit
from portal.kernel.errors import Forbidden, InvalidInput, TooManyRequests
from portal.kernel.rest import rate
from portal.kernel.states import database_now
from tenants.models import Organization
from tenants.standing import lock_organization

SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "U": "V", "-": None, " ": None})
RANDOM, CHECKING, GROUP = 18, 2, 5
PRIME = 1021
"""The greatest that two signs hold: a wrong sign, and two that changed places, leave another rest."""
ACT = "voucher.redeem"
HOUR_S = 3600
MOST_USES, LONGEST_LIFE = 1_000_000, 36_500


class VoucherRefused(Forbidden):
    """Unknown, used up, redeemed already, too early, too late or withdrawn: deliberately the same answer."""

    code, status = "voucher_refused", 403
    title = _("This voucher cannot be redeemed")
    text = _("The code is unknown, its time is not now, or it was redeemed already. Whoever gave it to you knows more.")


# -- codes --

def new_code() -> str:
    """Four groups of five signs."""
    random = "".join(secrets.choice(SIGNS) for _sign in range(RANDOM))
    signs = random + _checking(random)
    return "-".join(signs[at:at + GROUP] for at in range(0, len(signs), GROUP))


def _checking(random: str) -> str:
    number = 0
    for sign in random:
        number = number * len(SIGNS) + SIGNS.index(sign)
    rest = number % PRIME
    return SIGNS[rest // len(SIGNS)] + SIGNS[rest % len(SIGNS)]


def read_code(text: str) -> str:
    """The signs of a code as somebody typed it. Raises InvalidInput where it is none."""
    signs = str(text)[:100].upper().translate(READ_AS)
    is_code = len(signs) == RANDOM + CHECKING and set(signs) <= set(SIGNS) and _checking(signs[:RANDOM]) == signs[RANDOM:]
    if not is_code:
        raise InvalidInput.field("code", _("This is no code: is a sign missing, or another one?"))
    return signs


def digest(signs: str) -> bytes:
    return hashlib.sha256(signs.encode()).digest()


# -- verbs --

@transaction.atomic
def create_voucher(*, actor: Any, amount: Decimal, reason: str, most_uses: int = 1, valid_from: datetime | None = None,
                   valid_until: datetime | None = None, lifetime_days: int | None = None, meters: list[str] | None = None,
                   region: Any = None, now: datetime | None = None) -> tuple[Voucher, str]:
    """(The voucher, its code, which nobody can read again), in the currency of the prices. Raises InvalidInput."""
    now = now or database_now()
    valid_from, meters = valid_from or now, meters or []
    wrong_end = valid_until is not None and valid_until <= max(now, valid_from)
    issuing.check(
        amount=issuing.wrong_amount(amount), reason=issuing.wrong_text(reason), meters=wrong_meters(meters),
        most_uses=[] if 1 <= most_uses <= MOST_USES else [_("From 1 to %(most)s.") % {"most": MOST_USES}],
        lifetime_days=[] if lifetime_days is None or 1 <= lifetime_days <= LONGEST_LIFE else [
            _("From 1 to %(most)s.") % {"most": LONGEST_LIFE}],
        valid_until=[_("This is before it begins, or in the past.")] if wrong_end else [])
    code = new_code()
    voucher = Voucher.objects.create(
        digest=digest(read_code(code)), hint=code[:4], amount=amount, currency=rating.currency(), reason=reason,
        most_uses=most_uses, valid_from=valid_from, valid_until=valid_until, lifetime_days=lifetime_days, meters=meters,
        region=region, made_by=actor, created_at=now)
    audit.record("voucher.create", voucher, actor=actor, after={
        "amount": amount, "currency": voucher.currency, "most_uses": most_uses, "reason": reason})
    return voucher, code


@transaction.atomic
def withdraw(voucher: Voucher, *, actor: Any, now: datetime | None = None) -> None:
    """Nobody redeems it any more; credit that it gave stays. Again is success."""
    now = now or database_now()
    if Voucher.objects.filter(pk=voucher.pk, withdrawn_at=None).update(withdrawn_at=now):
        audit.record("voucher.withdraw", voucher, actor=actor)


@transaction.atomic
def redeem(organization: Organization, code: str, *, actor: Any, now: datetime | None = None) -> Credit:
    """Give the organization the voucher's credit, once.

    Raises InvalidInput for what is no code, VoucherRefused for one that gives nothing, TooManyRequests after many tries. Who
    renders the refusal writes its audit row, as for every Forbidden.
    """
    now = now or database_now()
    signs = read_code(code)
    _count(organization)
    lock_organization(organization.pk)  # all that redeem for it at once are asked in turn
    voucher = Voucher.objects.select_for_update(no_key=True).filter(digest=digest(signs)).first()
    if voucher is None or not _gives(voucher, organization, now):
        raise VoucherRefused(permission=ACT).about(organization)
    lasts = voucher.lifetime_days and timedelta(days=voucher.lifetime_days)
    credit = Credit.objects.create(
        organization=organization, amount=voucher.amount, currency=voucher.currency, reason=voucher.reason,
        granted_by=voucher.made_by, expires_at=lasts and now + lasts, created_at=now, meters=voucher.meters,
        region=voucher.region)
    VoucherUse.objects.create(voucher=voucher, organization=organization, credit=credit, used_by=actor, used_at=now)
    audit.record(ACT, organization, actor=actor, after={
        "voucher": str(voucher.pk), "credit": str(credit.pk), "amount": credit.amount, "currency": credit.currency})
    return credit


def _gives(voucher: Voucher, organization: Organization, now: datetime) -> bool:
    """Asked while the voucher is held, so that two that come at once are asked in turn."""
    is_time = voucher.valid_from <= now and (voucher.valid_until is None or now < voucher.valid_until)
    if voucher.withdrawn_at is not None or not is_time:
        return False
    return not voucher.uses.filter(organization=organization).exists() and voucher.uses.count() < voucher.most_uses


def _count(organization: Organization) -> None:
    """Every try, also one whose transaction is rolled back: of any number at once no more than the limit are looked up."""
    caller = rate.Caller(name="voucher", setting="voucher_tries", who=f"voucher:{organization.pk}")
    allowance = rate.take([caller], HOUR_S)
    if allowance and allowance.is_used_up:
        raise TooManyRequests(retry_after=allowance.resets_in_s)
