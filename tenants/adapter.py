"""allauth's hooks: who may sign up, how users are named, from where they come, and in which language mails are written."""
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urljoin, urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language, override

from portal.kernel import requests
from portal.kernel.secrets import random_secret
from tenants import invitations
from tenants.models import User

LONGEST_LOGIN = 254  # an e-mail address; user names are shorter
LONGEST_STEM = 40
ONE_CUSTOMER = 64  # bits of an IPv6 address
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
        address = requests.current().address or super().get_client_ip(request)
        try:
            known = ip_address(address)
        except ValueError:
            return address
        if not isinstance(known, IPv6Address) or known.ipv4_mapped:
            return address
        return str(ip_network((int(known), ONE_CUSTOMER), strict=False))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In the language of whom it is for, when it is known, else of the page. Links lead to the site, whatever host the
        request named: a stranger may ask for somebody else's mail."""
        user = context.get("user")
        links = {name: _on_site(value) for name, value in context.items() if name.endswith("_url") and value}
        with override(getattr(user, "language", "") or get_language()):
            super().send_mail(template_prefix, email, context | links | {"site_url": settings.SITE_URL})

    def format_email_subject(self, subject: str) -> str:
        return f"[Mains] {subject}"


def _on_site(url: str) -> str:
    return urljoin(settings.SITE_URL, urlsplit(url)._replace(scheme="", netloc="").geturl())
