"""Who a browser's request is of: sessions and users, by statements that are composed once. Every request asks both.

Sessions are Django's, in a table of our own (`tenants.BrowserSession`) that knows whose each is, so that people see where they
are signed in and end it. Ending one is deleting its row: requests ask for it every time, open websockets every few seconds.
"""
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portal.kernel import requests
from portal.kernel.composed import Composed
from tenants.models import BrowserSession, User

SIGNING_IN = "/accounts/"
AGENT_KEY = "agent"
LONGEST_AGENT = 200
SEEN_EVERY = timedelta(minutes=1)
USER = Composed(lambda pk: User.objects.filter(pk=pk), pk=UUID)
LIVE = Composed(lambda key: BrowserSession.objects.filter(session_key=key).order_by().values_list(
    "session_data", "expire_date", "last_seen_at"), key=str)


class SessionStore(db.SessionStore):
    """Sessions in the database (`SESSION_ENGINE` names this module)."""

    seen_at: datetime | None = None
    """When the session was last seen, once it is loaded; None for a new one."""

    @classmethod
    def get_model_class(cls) -> type[BrowserSession]:
        return BrowserSession

    def load(self) -> dict[str, Any]:
        """What the session holds; nothing, under no key, when there is none or its time is over."""
        for data, expires, seen_at in LIVE.rows(key=self.session_key):
            if expires > timezone.now():
                self.seen_at = seen_at
                return self.decode(data)
        self._session_key = None
        return {}

    def save(self, must_create: bool = False) -> None:
        """By its key: the row's id is for the outside, and stays. Raises CreateError when there is one of the key already,
        UpdateError when it was ended meanwhile."""
        if self.session_key is None:
            return self.create()
        data = self._get_session(no_load=must_create)
        columns = {"session_data": self.encode(data), "expire_date": self.get_expiry_date(), "user_id": data.get(SESSION_KEY),
                   "agent": data.get(AGENT_KEY, ""), "address": requests.current().address}
        if must_create:
            try:
                with transaction.atomic():
                    BrowserSession.objects.create(session_key=self.session_key, **columns)
            except IntegrityError as error:
                raise CreateError from error
        elif not BrowserSession.objects.filter(session_key=self.session_key).update(**columns, last_seen_at=timezone.now()):
            raise UpdateError
        return None


class Middleware(SessionMiddleware):
    """Django's, which also notes when and from where a session was last seen: once a minute, for whole pages alone; and keeps
    pages of signing in, which show keys and codes, out of caches."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        seen_at, now = getattr(request.session, "seen_at", None), timezone.now()
        if request.path.startswith(SIGNING_IN):
            response["Cache-Control"] = "no-store"
        is_part = request.headers.get("HX-Request") == "true"
        if seen_at is not None and not is_part and now - seen_at > SEEN_EVERY and request.session.session_key:
            BrowserSession.objects.filter(session_key=request.session.session_key, last_seen_at__lt=now - SEEN_EVERY).update(
                last_seen_at=now, address=requests.current().address)
        return response


def name_browser(request: HttpRequest) -> None:
    """What the list of sessions calls the one that is about to be somebody's."""
    request.session[AGENT_KEY] = request.headers.get("User-Agent", "")[:LONGEST_AGENT]


class PasswordBackend(AuthenticationBackend):
    """Sign-in by user name or e-mail address and password."""

    def get_user(self, user_id: UUID) -> User | None:
        """The session's user, unless it is gone or was made inactive."""
        return next((user for user in USER.models(pk=user_id) if self.user_can_authenticate(user)), None)
