"""allauth's hooks: who may sign up (nobody yet: operators make users until the sign-up story lands) and sign in."""
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

LONGEST_LOGIN = 254  # an e-mail address; user names are shorter


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up is closed."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Nobody has a longer name than fits, and the row of failed sign-ins could not hold it."""
        if any(len(credentials.get(name) or "") > LONGEST_LOGIN for name in ("username", "email")):
            return None
        return super().authenticate(request, **credentials)
