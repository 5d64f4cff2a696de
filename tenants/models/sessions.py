"""Browsers' sessions: Django's, with whose each is, from where and when it was last seen, so that people can end them."""
import uuid
from typing import Any, Self

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class SessionQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Everybody sees their own only, those who run the site too: the others' are in admin."""
        return self.filter(user_id=user.pk)

    def living(self) -> Self:
        return self.filter(expire_date__gt=Now())


class SessionManager(BaseSessionManager.from_queryset(SessionQuerySet)):
    use_in_migrations = False


class BrowserSession(AbstractBaseSession):
    """A browser's session. Its key is the browser's secret, so the outside knows it by an id of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session_key = models.CharField(max_length=40, unique=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="browser_sessions",
                             verbose_name=_("user"), help_text=_("None before somebody has signed in."))
    agent = models.CharField(_("browser"), max_length=200, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    created_at = models.DateTimeField(_("signed in"), auto_now_add=True)
    last_seen_at = models.DateTimeField(_("last seen"), auto_now_add=True)

    objects = SessionManager()

    class Meta:
        verbose_name, verbose_name_plural = _("session"), _("sessions")
        ordering = ["-last_seen_at"]
        indexes = [models.Index(fields=["user"], name="session_of_user", condition=models.Q(user__isnull=False))]

    def __str__(self) -> str:
        return f"{self.agent[:60]} ({self.address})" if self.agent else str(self.address or self.pk)

    @classmethod
    def get_session_store_class(cls) -> type[Any]:
        from tenants.sessions import SessionStore

        return SessionStore
