"""Who a browser's request is of: Django's sessions and users, by statements that are composed once. Every request asks both."""
from typing import Any
from uuid import UUID

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from portal.kernel.composed import Composed
from tenants.models import User

USER = Composed(lambda pk: User.objects.filter(pk=pk), pk=UUID)
LIVE = Composed(lambda key: Session.objects.filter(session_key=key).values_list("session_data", "expire_date"), key=str)


class SessionStore(db.SessionStore):
    """Sessions in the database (`SESSION_ENGINE` names this module)."""

    def load(self) -> dict[str, Any]:
        """What the session holds; nothing, under no key, when there is none or its time is over."""
        for data, expires in LIVE.rows(key=self.session_key):
            if expires > timezone.now():
                return self.decode(data)
        self._session_key = None
        return {}


class PasswordBackend(AuthenticationBackend):
    """Sign-in by user name or e-mail address and password."""

    def get_user(self, user_id: UUID) -> User | None:
        """The session's user, unless it is gone or was made inactive."""
        return next((user for user in USER.models(pk=user_id) if self.user_can_authenticate(user)), None)
