"""Verbs on invitations: a mail with a token, which binds whoever opens it to a role. Whether the address is anybody's is never
looked up, so inviting tells nothing about who has an account.
"""
from datetime import timedelta
from urllib.parse import urlencode, urljoin

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext, override

from portal.kernel import audit
from portal.kernel.errors import InvalidInput, TooManyRequests
from portal.kernel.secrets import digest, random_secret
from tenants.access import Grants
from tenants.errors import InvitationOver
from tenants.models import Binding, Invitation, Organization, Project, Role, User
from tenants.people import (
    MANAGE,
    MOST_BINDINGS,
    OWNER,
    Scope,
    check_number,
    hold,
    organization_of,
    permissions_in,
    require_role,
)
from tenants.roles import LABELS, bind

log = structlog.get_logger(__name__)

VALID_FOR = timedelta(days=7)
# Pending in an organization; mails that it may cause in an hour, and to one address in a day.
MOST_PENDING, MOST_AN_HOUR, MOST_TO_ONE = 100, 30, 3
SESSION_KEY = "invitation"


@transaction.atomic
def invite(email: str, role: str, scope: Scope, *, actor: User) -> Invitation:
    """Send a mail with a token for the role; an earlier pending one of the same address in the same place is revoked. Raises as
    `people.require_role` does, InvalidInput, QuotaExceeded beyond MOST_PENDING, TooManyRequests."""
    organization = hold(organization_of(scope))
    require_role(role, scope, actor=actor)
    if role == OWNER and isinstance(scope, Project):
        raise InvalidInput.field("role", gettext("Owners are of a whole organization."))
    now, project = timezone.now(), scope if isinstance(scope, Project) else None
    pending = Invitation.objects.filter(organization=organization).pending()
    pending.filter(email__iexact=email, project=project).update(revoked_at=now)
    check_number("invitations", organization, pending, MOST_PENDING)
    _check_rate(organization, email)
    token = random_secret(256)
    invitation = Invitation.objects.create(
        organization=organization, project=project, role=role, email=email, token_hash=digest(token), invited_by=actor,
        sent_at=now, expires_at=now + VALID_FOR)
    audit.record("invitation.create", invitation, actor=actor, after={"role": role})
    _post(invitation, token, actor)
    return invitation


@transaction.atomic
def resend(invitation: Invitation, *, actor: User) -> Invitation:
    """The mail again, with a new token and new days; the old mail's token is worth nothing. Raises InvitationOver when it was
    used or revoked, TooManyRequests, and as `invite` does."""
    organization = hold(invitation.organization_id)
    invitation = Invitation.objects.select_related("organization", "project").get(pk=invitation.pk)
    if invitation.state not in ("pending", "expired") or not invitation.email:
        raise InvitationOver
    require_role(invitation.role, invitation.project or organization, actor=actor)
    _check_rate(organization, invitation.email)
    token, now = random_secret(256), timezone.now()
    invitation.token_hash, invitation.sent_at, invitation.expires_at = digest(token), now, now + VALID_FOR
    invitation.invited_by, invitation.mails = actor, invitation.mails + 1
    invitation.save(update_fields=["token_hash", "sent_at", "expires_at", "invited_by", "mails"])
    audit.record("invitation.resend", invitation, actor=actor)
    _post(invitation, token, actor)
    return invitation


@transaction.atomic
def revoke(invitation: Invitation, *, actor: User) -> None:
    """The token is worth nothing from now on; again is success."""
    hold(invitation.organization_id)
    if Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record("invitation.revoke", invitation, actor=actor)


def find(token: str) -> Invitation:
    """The pending invitation of the token. Raises InvitationOver."""
    found = Invitation.objects.pending().select_related("organization", "project", "invited_by").filter(
        token_hash=digest(token)).first()
    if found is None or not _may_still(found):
        raise InvitationOver
    return found


@transaction.atomic
def accept(token: str, *, user: User) -> Invitation:
    """Bind the user to what the token is for; it works once. Raises InvitationOver."""
    organization = hold(find(token).organization_id)
    invitation = find(token)  # again: what was true before the lock may not be
    scope = invitation.project or organization
    check_number("bindings", organization, Binding.objects.filter(organization=organization), MOST_BINDINGS)
    Invitation.objects.filter(pk=invitation.pk).update(accepted_at=timezone.now(), accepted_by=user)
    bind(user, invitation.role, scope)
    audit.record("invitation.accept", invitation, actor=user, after={"role": invitation.role, "user": str(user.pk)})
    return invitation


def of_visitor(request: HttpRequest) -> Invitation | None:
    """The invitation whose link this browser followed, while it is good for anything."""
    token = request.session.get(SESSION_KEY)
    try:
        return find(token) if token else None
    except InvitationOver:
        return None


def role_label(role: str, organization: Organization) -> str:
    """What people call the role."""
    if role in LABELS:
        return str(LABELS[role])
    return str(Role.objects.filter(organization=organization, pk=role).values_list("name", flat=True).first() or role)


def _may_still(invitation: Invitation) -> bool:
    """Whether who invited could give the role now: what somebody gave away before they were put out opens no door."""
    inviter, scope = invitation.invited_by, invitation.project or invitation.organization
    names = permissions_in(invitation.organization_id, invitation.role)
    inviter.grants = Grants.of_user(inviter)
    return names is not None and all(inviter.grants.allows(name, scope) for name in names | {MANAGE})


def _check_rate(organization: Organization, email: str) -> None:
    """Raise TooManyRequests when the organization has caused too many mails lately."""
    now, mine = timezone.now(), Invitation.objects.filter(organization=organization)
    hour, day = timedelta(hours=1), timedelta(days=1)
    recent = sum(mine.filter(sent_at__gt=now - hour).values_list("mails", flat=True))
    to_one = sum(mine.filter(email__iexact=email, sent_at__gt=now - day).values_list("mails", flat=True))
    if recent >= MOST_AN_HOUR:
        raise TooManyRequests(retry_after=round(hour.total_seconds()))
    if to_one >= MOST_TO_ONE:
        raise TooManyRequests(retry_after=round(day.total_seconds()))


def _post(invitation: Invitation, token: str, actor: User) -> None:
    """Once the row stands, in the language of whoever invites; a mail server that is away is no reason to forget it."""
    with override(actor.language or get_language()):
        context = {
            "organization": invitation.organization, "project": invitation.project, "inviter": actor,
            "role": role_label(invitation.role, invitation.organization), "days": VALID_FOR.days, "site_url": settings.SITE_URL,
            "url": urljoin(settings.SITE_URL, reverse("invitations:accept") + "?" + urlencode({"token": token}))}
        subject = render_to_string("tenants/mail/invitation_subject.txt", context).strip()
        text = render_to_string("tenants/mail/invitation_message.txt", context)
    mail = EmailMessage(f"[Mains] {subject}", text, to=[invitation.email])
    transaction.on_commit(mail.send, robust=True)
