"""The protocol: OpenID Connect's code flow as allauth speaks it, with what it leaves out: a nonce, the token's signature in any
case, one subject in token and answer, and addresses of the provider that are checked before anything is asked of them.
"""
from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest
from django.urls import reverse

from portal.kernel.secrets import digest
from tenants.models import Connection
from tenants.single_sign_on.asking import MOST_SUBJECT, checked_url

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""With a key of the provider's own; never one made of the client's secret, or none."""
LEEWAY_S = 60
CLAIMS = ("sub", "email", "email_verified", "given_name", "family_name", "name")


def nonce_of(verifier: str) -> str:
    """What binds the token to the browser that asked: derived from the secret that proves the asker (PKCE)."""
    return digest(f"nonce:{verifier}")


class OidcAdapter(OpenIDConnectOAuth2Adapter):
    """One turn with the provider of one connection."""

    _verifier = ""

    @property
    def openid_config(self) -> dict[str, Any]:
        if not hasattr(self, "_openid_config"):
            self._openid_config = self._discovered(self.get_provider())
        return self._openid_config

    def _discovered(self, provider: "OidcProvider") -> dict[str, Any]:
        with get_adapter().get_requests_session() as session:
            answer = session.get(provider.server_url)
            answer.raise_for_status()
            found = answer.json()
        if not isinstance(found, dict) or str(found.get("issuer", "")).rstrip("/") != provider.issuer.rstrip("/"):
            raise OAuth2Error("The provider publishes another issuer.")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            if name in found or name != "userinfo_endpoint":
                checked_url(found.get(name))
        return found

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse("oidc_callback", args=[self.get_provider().slug]))

    def get_access_token_data(self, request: HttpRequest, app: Any, client: Any, pkce_code_verifier: str | None = None) -> Any:
        if not pkce_code_verifier:
            raise OAuth2Error("No verifier.")
        self._verifier = pkce_code_verifier
        return super().get_access_token_data(request, app, client, pkce_code_verifier)

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Raises OAuth2Error for whatever the provider did not sign for this browser and for us."""
        claims = self._claims(app, kwargs["response"].get("id_token"))
        if "email" not in claims and "userinfo_endpoint" in self.openid_config:
            further = self._fetch_user_info(token.token)
            if not isinstance(further, dict) or further.get("sub") != claims["sub"]:
                raise OAuth2Error("The provider answered about somebody else.")
            claims = further | claims
        told = {name: claims[name] for name in CLAIMS if isinstance(claims.get(name), (str, bool))}
        return self.get_provider().sociallogin_from_response(request, {"id_token": told})

    def _claims(self, app: Any, id_token: Any) -> dict[str, Any]:
        if not isinstance(id_token, str):
            raise OAuth2Error("No token.")
        try:
            claims = jwt.decode(id_token, self._key(jwt.get_unverified_header(id_token)), algorithms=ALGORITHMS,
                                audience=app.client_id, issuer=self.openid_config["issuer"], leeway=LEEWAY_S,
                                options={"require": ["exp", "iat", "iss", "aud", "sub"]})
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise OAuth2Error("The token is not good.") from error
        if claims.get("nonce") != nonce_of(self._verifier) or claims.get("azp", app.client_id) != app.client_id:
            raise OAuth2Error("The token is for another.")
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= MOST_SUBJECT or "\0" in claims["sub"]:
            raise OAuth2Error("The token names nobody.")
        return claims

    def _key(self, header: dict[str, Any]) -> jwt.PyJWK:
        """The provider's key that the token says it is signed with. Raises OAuth2Error."""
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        named = [key for key in keys if key.public_key_use in (None, "sig") and header.get("kid") in (None, key.key_id)]
        if len(named) != 1:
            raise OAuth2Error("No key, or no single one.")
        return named[0]


class OidcProvider(OpenIDConnectProvider):
    """A connection as allauth sees it. Accounts are kept under the connection's id, which is never another's again."""

    id = "oidc"
    name = "OpenID Connect"
    oauth2_adapter_class = OidcAdapter
    supports_token_authentication = False

    @property
    def connection(self) -> Connection:
        return self.app.connection

    @property
    def slug(self) -> str:
        return self.connection.slug

    @property
    def issuer(self) -> str:
        return self.connection.issuer

    def get_login_url(self, request: HttpRequest, **kwargs: Any) -> str:
        return reverse("oidc_login", args=[self.slug])

    def get_callback_url(self) -> str:
        return reverse("oidc_callback", args=[self.slug])

    def get_pkce_params(self) -> dict[str, str]:
        params = super().get_pkce_params()
        return params | {"nonce": nonce_of(params["code_verifier"])}

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        """What is asked for is ours to say, not a link's."""
        return self.get_scope()

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, str]:
        return self.get_auth_params()


provider_classes = [OidcProvider]
