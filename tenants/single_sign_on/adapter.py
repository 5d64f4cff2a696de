"""allauth's hooks: connections are rows of ours, and whom a provider signs in is ours to say (`rules`)."""
from typing import Any

import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.base import AuthProcess
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.translation import gettext

from portal.kernel import audit
from tenants.models import Connection
from tenants.single_sign_on import rules
from tenants.single_sign_on.asking import AskingSession

log = structlog.get_logger(__name__)


class ConnectionsAdapter(DefaultSocialAccountAdapter):
    """Nothing is decided by what allauth's own tables of providers say; there are no rows in them."""

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[SocialApp]:
        rows = Connection.objects.usable()
        return [self._app(row) for row in rows if provider in (None, "oidc", str(row.pk))]

    def _app(self, row: Connection) -> SocialApp:
        app = SocialApp(provider="oidc", provider_id=str(row.pk), name=row.name, client_id=row.client_id,
                        secret=row.client_secret, settings={"server_url": row.issuer.rstrip("/"), "oauth_pkce_enabled": True})
        app.connection = row
        return app

    def get_requests_session(self) -> AskingSession:
        return AskingSession()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Nobody gets further than `pre_social_login` without an account."""
        return False

    def authenticate_by_email(self, sociallogin: Any) -> None:
        """Never by allauth's rule: `rules.admit` knows whose addresses a provider speaks for."""

    def is_email_verified(self, provider: Any, email: str) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        connection = sociallogin.provider.connection
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            raise ImmediateHttpResponse(redirect("account_login"))
        try:
            if sociallogin.is_existing:
                rules.require_no_operator(connection, sociallogin.user)
                return
            told = sociallogin.account.extra_data["id_token"]
            sociallogin.user = rules.admit(connection, sociallogin.account.uid, told, request=request)
        except rules.Refused as refused:
            audit.refuse("user.sign_on", connection, actor=None, reason=refused.reason)
            messages.error(request, refused.said)
            raise ImmediateHttpResponse(redirect("account_login")) from refused
        sociallogin.account = SocialAccount.objects.get(provider=str(connection.pk), uid=sociallogin.account.uid)

    def on_authentication_error(self, request: HttpRequest, provider: Any, error: Any = None, exception: Exception | None = None,
                                extra_context: dict[str, Any] | None = None) -> None:
        # What went wrong is for operators: it may name addresses of theirs.
        log.warning("single_sign_on.failed", connection=getattr(provider, "slug", ""), error=str(error),
                    cause=f"{type(exception).__name__}: {exception}"[:300] if exception else "")

    def validate_disconnect(self, account: SocialAccount, accounts: Any) -> None:
        """Somebody keeps a way to sign in."""
        if len(accounts) == 1 and not account.user.has_usable_password():
            raise ValidationError(gettext("Choose a password first: without this you could not sign in any more."))
