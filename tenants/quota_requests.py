"""Asking for higher limits, and answering. A project's request goes to whoever manages what is above it, an organization's to
those who run the site: the same who may set the limit (tenants.limits), asked again under the organization's lock.
"""
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.kernel import audit
from portal.kernel.errors import InvalidInput, QuotaExceeded
from portal.kernel.models import Region
from portal.kernel.states import database_now
from tenants.access import require
from tenants.errors import AlreadyAsked
from tenants.limits import LARGEST, Limit, Scope, check_dimension, held, limit_of, require_to_set_limits, set_limits
from tenants.models import Organization, QuotaRequest, User

ASK = "quota.request"
# So that nobody buries the others' requests under theirs: open ones of an organization, and made in a day.
MOST_OPEN, MOST_A_DAY = 50, 200
S = QuotaRequest.State


@transaction.atomic
def ask(scope: Scope, dimension: str, *, region: Region | None, wanted: int, reason: str, actor: User) -> QuotaRequest:
    """Ask that the scope's own limit be `wanted`. Raises Forbidden, InvalidInput where there is no limit or it is that high
    already, AlreadyAsked, QuotaExceeded beyond MOST_OPEN or MOST_A_DAY."""
    check_dimension(dimension, region)
    scope = held(scope)
    require(actor, ASK, scope)
    limit = limit_of(scope, region, dimension)
    if limit is None:
        raise InvalidInput.field("resource", _("{scope} has no limit of it.").format(scope=scope.name))
    if not limit < wanted <= LARGEST:
        raise InvalidInput.field("wanted", _("More than the limit of now, {limit}.").format(limit=limit))
    organization = scope if isinstance(scope, Organization) else scope.organization
    _refuse_floods(organization)
    try:
        with transaction.atomic():
            request = QuotaRequest.objects.create(
                organization=organization, project=None if scope is organization else scope, region=region, dimension=dimension,
                wanted=wanted, reason=reason, requested_by=actor)
    except IntegrityError as error:
        if "quota_request_open_once" not in str(error):
            raise
        raise AlreadyAsked(scope=scope.name) from error
    audit.record("quota.request", scope, actor=actor, after={
        _name(request): wanted, "was": limit, "reason": reason, "request": str(request.pk)})
    return request


def _refuse_floods(organization: Organization) -> None:
    rows = QuotaRequest.objects.filter(organization=organization)
    for used, limit in ((rows.filter(state=S.OPEN).count(), MOST_OPEN),
                        (rows.filter(created_at__gt=timezone.now() - timedelta(days=1)).count(), MOST_A_DAY)):
        if used >= limit:
            raise QuotaExceeded(resource="quota_requests", scope=organization.name, limit=limit, used=used, wanted=1)


@transaction.atomic
def grant(request: QuotaRequest, *, actor: User, granted: int | None = None, answer: str = "") -> QuotaRequest:
    """Set the limit to what is wanted, or to `granted`, be that less or more. Raises StateConflict when it was answered
    already, LimitsFromAbove, InvalidInput for a limit that is no higher than the one of now."""
    scope = held(request.scope)
    require_to_set_limits(actor, scope)
    granted = request.wanted if granted is None else granted
    state = S.PARTLY if granted < request.wanted else S.GRANTED
    _decide(request, state, actor=actor, answer=answer, granted=granted)
    now = limit_of(scope, request.region, request.dimension)
    if now is not None and not now < granted <= LARGEST:
        raise InvalidInput.field("granted", _("More than the limit of now, {limit}.").format(limit=now))
    if now is not None:  # it may have been lifted altogether since: then there is nothing left to raise
        set_limits(scope, [Limit(resource=request.dimension, region=request.region, limit=granted)], actor=actor)
    audit.record("quota.grant", scope, actor=actor, after={
        _name(request): granted, "wanted": request.wanted, "answer": answer, "request": str(request.pk)})
    return request


@transaction.atomic
def refuse(request: QuotaRequest, *, actor: User, answer: str) -> QuotaRequest:
    """Leave the limit as it is, and say why. Raises StateConflict when it was answered already, LimitsFromAbove."""
    if not answer.strip():
        raise InvalidInput.field("answer", _("Say why: whoever asked reads it."))
    scope = held(request.scope)
    require_to_set_limits(actor, scope)
    _decide(request, S.REFUSED, actor=actor, answer=answer)
    audit.record("quota.refuse", scope, actor=actor, after={
        _name(request): request.wanted, "reason": answer, "request": str(request.pk)})
    return request


@transaction.atomic
def withdraw(request: QuotaRequest, *, actor: User) -> QuotaRequest:
    """It is not wanted any more, says whoever may ask there. Raises StateConflict, Forbidden."""
    scope = held(request.scope)
    require(actor, ASK, scope)
    _decide(request, S.WITHDRAWN, actor=actor)
    audit.record("quota.withdraw", scope, actor=actor, before={_name(request): request.wanted, "request": str(request.pk)})
    return request


def _decide(request: QuotaRequest, state: str, *, actor: User, answer: str = "", granted: int | None = None) -> None:
    """Of two who decide at once the second gets StateConflict: a compare-and-swap."""
    request.move_to(state, decided_by=actor, decided_at=database_now(), answer=answer, granted=granted)


def _name(request: QuotaRequest) -> str:
    return Limit(resource=request.dimension, region=request.region).name
