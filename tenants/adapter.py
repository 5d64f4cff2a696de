"""allauth's hooks: who may sign up, how users are named, from where they come, and in which language mails are written."""
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urljoin, urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import get_language, override

from portal.kernel import audit, requests
from portal.kernel.secrets import random_secret
from tenants import factors, invitations, newcomers
from tenants.models import User
from tenants.sessions import name_browser
from tenants.single_sign_on import rules

LONGEST_LOGIN = 254  # an e-mail address; user names are shorter
LONGEST_STEM = 40
ONE_CUSTOMER = 64  # bits of an IPv6 address
# allauth's notice → the audit row, and which second factor it is about.
NOTED = {"mfa/email/totp_activated": ("user.factor_add", "totp"), "mfa/email/totp_deactivated": ("user.factor_remove", "totp"),
         "mfa/email/webauthn_added": ("user.factor_add", "passkey"),
         "mfa/email/webauthn_removed": ("user.factor_remove", "passkey"),
         "mfa/email/recovery_codes_generated": ("user.factor_add", "recovery_codes"),
         "account/email/password_changed": ("user.password", ""), "account/email/password_reset": ("user.password", "reset"),
         "account/email/password_set": ("user.password", ""), "account/email/email_deleted": ("user.email", ""),
         "account/email/email_changed": ("user.email", ""), "account/email/email_confirm": ("user.email", ""),
         "socialaccount/email/account_connected": ("user.connection_add", ""),
         "socialaccount/email/account_disconnected": ("user.connection_remove", "")}
OWN_STAGES = {"allauth.account.stages.EmailVerificationStage": "tenants.sign_in.ProvenAddress"}


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up is open where the settings say so, and to whoever is invited."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.SIGNUP_OPEN or invitations.of_visitor(request) is not None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Nobody has a longer name than fits, and the row of failed sign-ins could not hold it."""
        if any(len(credentials.get(name) or "") > LONGEST_LOGIN for name in ("username", "email")):
            return None
        return super().authenticate(request, **credentials)

    def get_login_stages(self) -> list[str]:
        return [OWN_STAGES.get(stage, stage) for stage in super().get_login_stages()]

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """Nobody chooses a user name at sign-up, and none tells whether another exists: people sign in by e-mail."""
        stem = "".join(one for one in user.email.partition("@")[0] if one.isalnum() and one.isascii()).lower()
        user.username = f"{stem[:LONGEST_STEM] or 'user'}-{random_secret(64).lower()[:8]}"
        user.language = get_language() or ""

    def get_client_ip(self, request: HttpRequest) -> str:
        """What limits go by: the caller's address; of IPv6 the network, since one customer has all addresses in it."""
        return counted_address(request) or super().get_client_ip(request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """allauth counts failures of a name wherever they come from, so that a stranger could shut anybody out; `lockout` does
        not."""

    def pre_login(self, request: HttpRequest, user: User, **login: Any) -> HttpResponse | None:
        """Who is to come through the provider of their company comes no other way."""
        refused = super().pre_login(request, user, **login)
        return refused or rules.refused_elsewhere(request, user)

    def login(self, request: HttpRequest, user: User) -> None:
        name_browser(request)
        super().login(request, user)

    def post_login(self, request: HttpRequest, user: User, *, signup: bool, **options: Any) -> HttpResponse:
        response = super().post_login(request, user, signup=signup, **options)
        newcomers.greet(request, response, user, is_first=signup)
        return response

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """To the set-up of a second factor, where an organization requires one that is missing."""
        return reverse("mfa_index") if request.user.grants.behind else super().get_login_redirect_url(request)

    def send_notification_mail(self, template_prefix: str, user: User, context: dict[str, Any] | None = None,
                               email: str | None = None) -> None:
        """Each change of how somebody signs in is told them, and the trail."""
        action, factor = NOTED.get(template_prefix, ("", ""))
        if action:
            audit.record(action, user, actor=user, after={"factor": factor} if factor else None)
        if template_prefix == "mfa/email/totp_activated":
            factors.burn_first_code(user, getattr(self.request, "first_step", 0))
        email = email or EmailAddress.objects.get_primary_email(user) or user.email
        super().send_notification_mail(template_prefix, user, {"user": user, **(context or {})}, email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In the language of whom it is for, when it is known, else of the page. Links lead to the site, whatever host the
        request named: a stranger may ask for somebody else's mail."""
        user = context.get("user")
        links = {name: _on_site(value) for name, value in context.items() if name.endswith("_url") and value}
        with override(getattr(user, "language", "") or get_language()):
            super().send_mail(template_prefix, email, context | links | {"site_url": settings.SITE_URL})

    def format_email_subject(self, subject: str) -> str:
        return f"[Mains] {subject}"


def counted_address(request: HttpRequest) -> str:
    """The caller's address as the server knows it, as limits count it."""
    address = requests.current().address or request.META.get("REMOTE_ADDR") or ""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address) or known.ipv4_mapped:
        return address
    return str(ip_network((int(known), ONE_CUSTOMER), strict=False))


def _on_site(url: str) -> str:
    return urljoin(settings.SITE_URL, urlsplit(url)._replace(scheme="", netloc="").geturl())
