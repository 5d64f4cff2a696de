"""What tells that somebody paid since something was remembered: whoever paid sees it at once, in every process.

It is one statement, asked where a page would say that something is missing, and part of the key under which that is remembered.
"""
from typing import Any
from uuid import UUID

from django.db.models import Count, F, OuterRef, QuerySet, Subquery

from billing.models import Credit, Entry, Terms
from portal.kernel.composed import Composed
from portal.kernel.states import CLOCK
from tenants.models import Organization


def _means(organization: UUID) -> QuerySet:
    of_it = {"organization": OuterRef("pk")}
    credits = Credit.objects.filter(**of_it).order_by().values("organization").values_list(Count("pk"))
    return Organization.objects.filter(pk=organization).order_by().values_list(
        F("plan"), F("billing_profile__is_prepaid"), Subquery(credits),
        Subquery(Entry.objects.filter(**of_it).order_by("-at", "-pk").values("pk")[:1]),
        Subquery(Terms.objects.filter(**of_it, valid__contains=CLOCK).values("pk")[:1]))


MEANS = Composed(_means, organization=UUID)


def means_of(organization_id: UUID) -> tuple[Any, ...]:
    """How it pays: another answer after each payment, credit, voucher and change of terms. What is booked and granted is never
    changed, and is booked while the organization is held, so that the latest entry and the number of credits tell."""
    return next(iter(MEANS.rows(organization=organization_id)), ())
