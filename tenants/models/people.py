"""Users. What a user may do is computed once per request (`grants`) from bindings, never stored on the user."""
import uuid
from functools import cached_property

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _
from guardian.mixins import GuardianUserMixin


class User(AbstractUser, GuardianUserMixin):
    """A person (or later a service user) who signs in or owns API keys."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("user"), _("users")

    @cached_property
    def grants(self):
        """This request's rights; an API key replaces it by a narrower one (tenants.authentication)."""
        from tenants.access import Grants

        return Grants.of_user(self)
