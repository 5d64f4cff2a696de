"""What the tests' provider writes into its tokens (tests.signin.provider)."""
from typing import Any

from allauth.idp.oidc.adapter import DefaultOIDCAdapter

from tests.signin.provider import TWISTS


class Adapter(DefaultOIDCAdapter):
    """It lies where it is told to; `null` leaves a claim out."""

    def populate_id_token(self, id_token: dict[str, Any], client: Any, scopes: Any, **kwargs: Any) -> None:
        self._twist(id_token)

    def get_claims(self, purpose: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        claims = super().get_claims(purpose, *args, **kwargs)
        if purpose == "userinfo":
            self._twist(claims)
        return claims

    def _twist(self, claims: dict[str, Any]) -> None:
        for name, value in TWISTS.items():
            if value is None:
                claims.pop(name, None)
            elif name != "userinfo_sub":
                claims[name] = value
