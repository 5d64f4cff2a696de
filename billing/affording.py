"""Whether something new that has a price may be made: what every verb asks that makes such a thing, once for all of it, and after
`tenants.quotas.reserve`, which holds the organization.

What costs nothing (a VPC, a security group, a key) is not asked about: no budget refuses it.
"""
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from billing import budgets, credit, ladder
from billing.prices import Estimate, NoPrice
from portal.kernel.errors import PaymentRequired, PortalError
from tenants.models import Project

REFUSALS: tuple[type[PortalError], ...] = (NoPrice, PaymentRequired, budgets.BudgetReached)
"""What views declare that make something with a price, beside what `reserve` refuses."""


def require(project: Project, price: Estimate, tags: Mapping[str, str], *, now: datetime, instead_of: UUID | None = None,
            actor: Any = None) -> None:
    """Raise PaymentRequired where what is left does not suffice, or BudgetReached where a budget refuses what is new. Figures are
    told to an actor who may see them (`sees_costs`). `instead_of`: a resource that will cost the price instead of what it costs
    now."""
    credit.require(project.organization, price, now=now, instead_of=instead_of, actor=actor)
    budgets.require(project, tags, actor=actor)


def refusal(project: Project, price: Estimate, tags: Mapping[str, str], *, actor: Any) -> PortalError | None:
    """What a verb would be refused with for want of money, for being shown while somebody still chooses: what is left, due and
    reached may be some seconds old."""
    try:
        ladder.require_paid(project.organization_id, lately=True)
        credit.require(project.organization, price, now=None, actor=actor)
        budgets.require(project, tags, actor=actor, lately=True)
    except PortalError as error:
        return error
    return None


def is_affordable(project: Project, price: Estimate, tags: Mapping[str, str], *, now: datetime,
                  instead_of: UUID | None = None) -> bool:
    """The same for forecasts."""
    return (credit.shortfall(project.organization, price, now=now, instead_of=instead_of) is None
            and budgets.refusing(project, tags) is None)
