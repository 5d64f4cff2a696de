"""Looking at the portal as a user: an operator sees what they see, for a reason that they and their organizations read.

The session stays the operator's and holds only which impersonation it is in. Every request asks whether that is still good, so
it ends with its time, with the operator's session, and when the operator is no operator any more. What is done meanwhile is
in the trail as the operator's doing on the user's behalf. Rights that outlast it are left out: people, keys, webhooks,
exports that are sent somewhere.
"""
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext

from portal.kernel import audit, requests
from portal.kernel.composed import Composed
from portal.kernel.errors import InvalidInput
from portal.kernel.pages import error_page
from portal.kernel.rest import problem
from portal.kernel.states import database_now
from tenants.errors import NotForAnother
from tenants.models import Impersonation, Organization, User
from tenants.scope import REGION_KEY
from tenants.scope import SESSION_KEY as PROJECT_KEY

KEY = "impersonation"
LONGEST = timedelta(minutes=30)
LEFT_OUT = frozenset({"member.manage", "organization.manage", "apikey.manage", "webhook.manage", "billing.manage"})
"""Of the user's rights: what they give would outlast the impersonation."""
OWN_PAGES = frozenset({"profile", "invitations", "api_keys", "service_users", "sessions", "mfa", "webhooks", "notifications"})
"""Namespaces of pages on which people change what is theirs alone."""
OWN_ADDRESSES = ("/accounts/", "/api/v1/me/", "/api/v1/api-keys/", "/api/v1/service-users/", "/api/v1/sessions/",
                 "/api/v1/notifications/")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

LIVE = Composed(lambda pk: Impersonation.objects.live().select_related("operator", "user").filter(
    pk=pk, operator__is_active=True, operator__is_superuser=True, user__is_active=True, user__is_superuser=False,
    user__is_staff=False, user__is_service=False), pk=UUID)


# -- verbs --

@transaction.atomic
def start(user: User, *, reason: str, actor: User, request: HttpRequest) -> Impersonation:
    """The request's session, which is the actor's, is from now on the user's in all that is seen. Raises InvalidInput without a
    reason, and for who runs the site, is no person, or cannot sign in."""
    reason = reason.strip()[:300]
    if not reason:
        raise InvalidInput.field("reason", gettext("Say why: they read it."))
    if user.pk == actor.pk or user.is_superuser or user.is_staff or user.is_service or not user.is_active:
        raise InvalidInput.field("user", gettext("Only people who can sign in and do not run the site."))
    for earlier in Impersonation.objects.live().filter(operator=actor).select_related("operator", "user"):
        stop(earlier)
    now = database_now()
    row = Impersonation.objects.create(operator=actor, user=user, reason=reason, started_at=now, expires_at=now + LONGEST)
    _tell_the_trail("impersonation.start", row, {"user": str(user.pk), "reason": reason, "until": row.expires_at})
    request.session[KEY] = str(row.pk)
    _forget_places(request)
    return row


@transaction.atomic
def stop(row: Impersonation, *, request: HttpRequest | None = None) -> None:
    """Back to the operator; again is success."""
    now = database_now()
    if Impersonation.objects.filter(pk=row.pk, ended_at=None).update(ended_at=now):
        _tell_the_trail("impersonation.end", row, {"user": str(row.user_id)})
    if request is not None:
        request.session.pop(KEY, None)
        _forget_places(request)


def _tell_the_trail(action: str, row: Impersonation, after: dict[str, object]) -> None:
    """In the trail of each organization that the user belongs to, where its people see it; else in the site's."""
    concerned = Organization.objects.filter(pk__in=row.user.grants.organization_ids).order_by("pk")
    for subject in list(concerned) or [row]:
        audit.record(action, subject, actor=row.operator, after=after)


def _forget_places(request: HttpRequest) -> None:
    """Which project and region were looked at is of the person."""
    for name in (PROJECT_KEY, REGION_KEY):
        request.session.pop(name, None)


# -- requests --

class ImpersonationMiddleware:
    """`request.user` is the user as whom the operator acts, `request.impersonation` the row; looked up when somebody asks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        signed_in, request.impersonation = request.user, None
        request.user = SimpleLazyObject(lambda: _user_of(request, signed_in))
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponse | None:
        """Refuses what is the user's alone, whatever its own rights say."""
        if not (is_own(request) and request.user.is_authenticated and request.impersonation):
            return None
        error = NotForAnother()
        audit.refuse(f"{request.method} {request.resolver_match.route}"[:80], None, actor=request.user, reason=error.code)
        if request.path.startswith("/api/"):
            body = problem.document(error.status, error.code, str(error.title), error.detail)
            return problem.bare(request, body)
        return error_page(request, error)


def is_own(request: HttpRequest) -> bool:
    """Whether the address is of what somebody changes about themselves; signing out is stopping, too."""
    here = request.resolver_match
    if here.view_name == "account_logout":
        return False
    if request.path.startswith("/accounts/"):
        return True  # its pages show what they change
    is_there = here.namespace.partition(":")[0] in OWN_PAGES or request.path.startswith(OWN_ADDRESSES)
    return is_there and request.method not in SAFE


def _user_of(request: HttpRequest, signed_in: Any) -> User | AnonymousUser:
    if not signed_in.is_authenticated or KEY not in request.session:
        return signed_in
    row = live(request.session[KEY], signed_in)
    if row is None:
        # Its time is over, or the operator's is: whoever it is goes on as themselves.
        request.session.pop(KEY, None)
        _forget_places(request)
        return signed_in
    request.impersonation = row
    requests.note_impersonation(row.operator_id, row.user_id)
    structlog.contextvars.bind_contextvars(impersonating_operator=str(row.operator_id))
    return row.user


def live(pk: object, operator: User) -> Impersonation | None:
    """The impersonation, if it is still good and the operator's, its user with what is left of their rights."""
    try:
        found = LIVE.models(pk=UUID(str(pk)))
    except ValueError:
        return None
    for row in found:
        if row.operator_id == operator.pk:
            row.user.grants, row.user.acted_by = row.user.grants.without(LEFT_OUT), row.operator_id
            return row
    return None


def seen_by_sockets(user: User, session: dict[str, Any]) -> User:
    """Whose websockets those of the session are: for `registry.session_hooks`."""
    row = live(session[KEY], user) if KEY in session else None
    return row.user if row else user
