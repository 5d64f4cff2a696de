"""The books' only writer: entries whose legs sum to zero, each booked once; a balance is the sum of an account's legs.

Debits are positive. Nothing is ever changed or deleted (PostgreSQL refuses both): what was wrong gets a further entry.
"""
from collections.abc import Mapping
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum

from billing.models import Account, Entry, Invoice, Leg
from portal.kernel.states import database_now
from tenants.models import Organization

ZERO = Decimal(0)


class Unbalanced(ValueError):
    """The legs of an entry do not sum to zero, or there are none."""


class BookedOtherwise(ValueError):
    """The key was used for an entry that says something else."""


@transaction.atomic
def book(organization: Organization, key: str, kind: str, legs: Mapping[Account, Decimal], currency: str, *, actor=None,
         invoice: Invoice | None = None, text: str = "") -> Entry:
    """Book the entry, unless the key is booked already; legs of nothing are left out.

    Raises Unbalanced, and BookedOtherwise when the key belongs to another organization or other legs.
    """
    wanted = {Account(account): amount for account, amount in legs.items() if amount}
    if not wanted or sum(wanted.values()) != ZERO:
        raise Unbalanced(f"{key}: {dict(legs)}")
    entry = Entry(organization=organization, key=key, kind=kind, invoice=invoice, text=text, actor=actor, at=database_now())
    Entry.objects.bulk_create([entry], ignore_conflicts=True)  # waits for who books the same key now
    booked = Entry.objects.get(key=key)
    if booked.pk != entry.pk:
        return _as_wanted(booked, organization, wanted, currency)
    Leg.objects.bulk_create(Leg(entry=booked, organization=organization, account=account, amount=amount, currency=currency)
                            for account, amount in wanted.items())
    return booked


def _as_wanted(booked: Entry, organization: Organization, wanted: Mapping[Account, Decimal], currency: str) -> Entry:
    found = {(leg.account, leg.currency): leg.amount for leg in booked.legs.all()}
    if booked.organization_id != organization.pk or found != {(name, currency): amount for name, amount in wanted.items()}:
        raise BookedOtherwise(booked.key)
    return booked


def balance(organization: Organization, account: Account, currency: str) -> Decimal:
    """The sum of the account's legs. What was paid in advance, revenue and tax owed stand below zero."""
    legs = Leg.objects.filter(organization=organization, account=account, currency=currency)
    return legs.aggregate(sum=Sum("amount"))["sum"] or ZERO


def prepaid(organization: Organization, currency: str) -> Decimal:
    """What it paid in and has not used: above zero, as people say it."""
    return -balance(organization, Account.PREPAID, currency)
