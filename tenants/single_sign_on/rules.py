"""Whom a provider may sign in, and as whom.

A provider is believed about addresses of the domains that operators gave it, if it says that they are proved. It is known
again by its own name for a person (`sub`), whatever address it says then. An account that is there already is taken over
only by that rule, and never an operator's through an organization's provider.
"""
from typing import Any

from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.kernel import audit
from portal.kernel.names import is_name
from tenants.models import Connection, Organization, User
from tenants.roles import bind

LONGEST_NAME = 60


class Refused(Exception):
    """`reason` is for the trail, `said` for the person."""

    SAID = {
        "unproved": _("Your provider does not say that your e-mail address is proved. Ask those who run it."),
        "foreign": _("Your provider may not sign in anybody with your e-mail address. Ask your operator."),
        "taken": _("There is an account with your e-mail address already. Sign in to it as you did so far."),
        "operator": _("Operators sign in with their password."),
    }

    def __init__(self, reason: str) -> None:
        self.reason, self.said = reason, self.SAID[reason]
        super().__init__(reason)


def domain_of(email: str) -> str:
    return email.rpartition("@")[2].strip().lower()


def by_slug(slug: str) -> Connection | None:
    return Connection.objects.usable().filter(slug=slug).first()


def of_domain(domain: str) -> Connection | None:
    return Connection.objects.usable().filter(domains__name=domain).first()


@transaction.atomic
def admit(connection: Connection, subject: str, told: dict[str, Any], *, request: HttpRequest) -> User:
    """The user whom the provider calls `subject`: known, found by the address, or new. Raises Refused."""
    Connection.objects.select_for_update(no_key=True).get(pk=connection.pk)  # the same person twice at once
    known = SocialAccount.objects.select_related("user").filter(provider=str(connection.pk), uid=subject).first()
    if known is not None:
        require_no_operator(connection, known.user)
        return known.user
    email = _proved_address(connection, told)
    user = _found(connection, email) or _made(email, told, request)
    SocialAccount.objects.create(user=user, provider=str(connection.pk), uid=subject, extra_data={"email": email})
    audit.record("user.connection_add", user, actor=user, after={"connection": connection.name})
    _join(connection, user)
    return user


def _proved_address(connection: Connection, told: dict[str, Any]) -> str:
    email = str(told.get("email", "")).strip()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Refused("unproved") from error
    if told.get("email_verified") is not True:
        raise Refused("unproved")
    owner = of_domain(domain_of(email))
    has_domains = connection.domains.exists()
    if owner != connection if has_domains else owner is not None:
        raise Refused("foreign")
    return email


def _found(connection: Connection, email: str) -> User | None:
    """Whose address it is: proved here, or given by operators to an account that has no other. None: nobody's."""
    proved = EmailAddress.objects.filter(email__iexact=email, verified=True).values("user_id")
    users = list(User.objects.filter(Q(pk__in=proved) | Q(email__iexact=email, emailaddress=None)).distinct()[:2])
    if not users:
        return None
    if len(users) > 1 or not connection.domains.exists():
        raise Refused("taken")
    require_no_operator(connection, users[0])
    return users[0]


def require_no_operator(connection: Connection, user: User) -> None:
    """Raise Refused: whoever runs an organization's provider could be any of those who run the site, those of later too."""
    if (user.is_superuser or user.is_staff) and connection.organization_id:
        raise Refused("operator")


def _made(email: str, told: dict[str, Any], request: HttpRequest) -> User:
    """A new account without a password."""
    user = User(email=email, first_name=_name(told.get("given_name")), last_name=_name(told.get("family_name")))
    account_adapter().populate_username(request, user)
    user.set_unusable_password()
    user.save(force_insert=True)
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    audit.record("user.create", user, actor=user)  # no address: nobody could erase it there
    return user


def _name(told: object) -> str:
    return told[:LONGEST_NAME] if isinstance(told, str) and is_name(told[:LONGEST_NAME]) else ""


def _join(connection: Connection, user: User) -> None:
    """Whoever comes for the first time is a member; who was put out later is not let in again by this."""
    organization = connection.organization
    if organization is None or not connection.role:
        return
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if organization.deleted_at is None and organization.suspended_at is None and not user.grants.around.get(organization.pk):
        bind(user, connection.role, organization)
        audit.record("member.bind", organization, actor=user, after={"role": connection.role, "user": str(user.pk)})


def refused_elsewhere(request: HttpRequest, user: User) -> HttpResponse | None:
    """An answer for somebody whose addresses are of a provider that is their only way, and who came another."""
    if user.is_superuser:
        return None
    addresses = {user.email, *EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)}
    domains = {domain_of(email) for email in addresses if email}
    connection = Connection.objects.usable().filter(is_only=True, domains__name__in=domains).order_by("name").first()
    if connection is None or any(record.get("provider") == str(connection.pk) and record["method"] == "socialaccount"
                                 for record in get_authentication_records(request, user)):
        return None
    audit.refuse("user.sign_on", user, actor=user, reason="only by single sign-on")
    messages.warning(request, gettext("People of your organization sign in with %(name)s.") % {"name": connection.name})
    return redirect("oidc_login", connection.slug)
