"""Who sets limits, and setting them. A project's are set by whoever manages what is above it, so that nobody raises their own;
an organization's by those who run the site.

A limit may be above that of a parent (every ancestor is checked by `reserve`), or below what is used: then nothing new is made
until there is room.
"""
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from portal.kernel import audit
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.models import Region
from tenants.errors import LimitsFromAbove
from tenants.models import Organization, Project, Quota, User
from tenants.models.quotas import MANAGE
from tenants.quotas import Line, lines, organization_lines
from tenants.standing import lock_organization

Scope = Organization | Project
LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What is to be: `limit` None is unlimited. With `is_default` the scope has none of its own, and an organization what its
    plan says."""

    resource: str
    region: Region | None = None
    limit: int | None = None
    is_default: bool = False

    @property
    def name(self) -> str:
        return f"{self.region.slug}.{self.resource}" if self.region else self.resource

    @property
    def value(self) -> int | str | None:
        return "default" if self.is_default else self.limit


def may_set_limits(user: User, scope: Scope) -> bool:
    if isinstance(scope, Organization):
        return user.grants.sees_everything
    return user.grants.allows(MANAGE, scope.parent or scope.organization)


def require_to_set_limits(user: User, scope: Scope) -> None:
    """Raise LimitsFromAbove, or why else it is not allowed, unless `user` may."""
    if may_set_limits(user, scope):
        return
    refused = user.grants.refusal(MANAGE, scope)
    if refused.code == LimitsFromAbove.code:  # not because of a suspension, say
        refused = LimitsFromAbove(scope=scope.name, permission=MANAGE)
    raise refused.about(scope)


def held(scope: Scope) -> Scope:
    """The scope as it stands now, its organization held until commit. Raises NotFound when it was deleted."""
    organization = lock_organization(scope.pk if isinstance(scope, Organization) else scope.organization_id)
    if isinstance(scope, Organization):
        return organization
    found = Project.objects.living().select_related("organization", "parent").filter(pk=scope.pk).first()
    if found is None:
        raise NotFound
    return found


def own_lines(scope: Scope, region: Region | None, *, lately: bool = False) -> list[Line]:
    """What the scope uses and may use by itself; limits of what is above it are not among them. `lately` as with `lines`."""
    read = organization_lines if isinstance(scope, Organization) else lines
    found = read(scope, region, lately=lately)
    return [line for line in found if line.scope_id == scope.pk]


@transaction.atomic
def set_limits(scope: Scope, limits: list[Limit], *, actor: User) -> list[Line]:
    """Set the scope's own limits; others stay. Gives those lines of which more is used already than they allow now.

    Raises LimitsFromAbove, InvalidInput for dimensions that there are not, or with a region where they have none.
    """
    check_limits(limits)
    scope = held(scope)
    require_to_set_limits(actor, scope)
    before, after = _write(scope, limits)
    if after:
        audit.record(f"{scope._meta.model_name}.quotas", scope, actor=actor, before=before, after=after)
    named = {(limit.region, limit.resource) for limit in limits}
    return [line for region in {limit.region for limit in limits} for line in own_lines(scope, region)
            if not line.fits and (region, line.resource) in named]


def check_limits(limits: list[Limit]) -> None:
    """Raise InvalidInput naming the first that cannot be."""
    for number, limit in enumerate(limits):
        check_dimension(limit.resource, limit.region, where=f"limits.{number}.")
        if limit.limit is not None and not 0 <= limit.limit <= LARGEST:
            raise InvalidInput.field(f"limits.{number}.limit", _("From 0 to {most}.").format(most=LARGEST))


def check_dimension(name: str, region: Region | None, *, where: str = "") -> None:
    declared = registry.dimensions.get(name)
    if declared is None:
        known = ", ".join(sorted(registry.dimensions))
        raise InvalidInput.field(f"{where}resource", _("One of: {names}.").format(names=known))
    if declared.regional and region is None:
        raise InvalidInput.field(f"{where}region", _("This is limited by region: say which."))
    if not declared.regional and region is not None:
        raise InvalidInput.field(f"{where}region", _("This is counted once for all regions: leave the region out."))


def _write(scope: Scope, limits: list[Limit]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was, and what is now, of those that change."""
    owner = {"organization": scope, "project": None} if isinstance(scope, Organization) else {
        "organization": None, "project": scope}
    own = {(quota.region_id, quota.dimension): quota for quota in Quota.objects.filter(**owner)}
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for limit in limits:
        known = own.get((limit.region and limit.region.pk, limit.resource))
        was = known.limit if known else "default"
        if was == limit.value:
            continue
        before[limit.name], after[limit.name] = was, limit.value
        if limit.is_default:
            Quota.objects.filter(**owner, region=limit.region, dimension=limit.resource).delete()
        else:
            Quota.objects.update_or_create(**owner, region=limit.region, dimension=limit.resource,
                                           defaults={"limit": limit.limit})
    return before, after


def limit_of(scope: Scope, region: Region | None, name: str) -> int | None:
    """What holds for the scope by itself; None: nothing does."""
    owner = {"organization": scope} if isinstance(scope, Organization) else {"project": scope}
    own = Quota.objects.filter(**owner, region=region, dimension=name).first()
    if own is not None:
        return own.limit
    return settings.PLANS[scope.plan].get(name) if isinstance(scope, Organization) else None
