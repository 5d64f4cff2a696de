"""Users. What a user may do is computed once per request (`grants`) from bindings, never stored on the user."""
import uuid
from typing import Self

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from guardian.mixins import GuardianUserMixin


class UserQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """The caller, and users bound to an organization or project whose members the caller may see."""
        from tenants.models import (
            OrganizationGroupBinding,
            OrganizationUserBinding,
            ProjectGroupBinding,
            ProjectUserBinding,
        )

        grants = user.grants
        if grants.sees_everything:
            return self.all()
        found = Q(pk=user.pk)
        scopes = ((OrganizationUserBinding, OrganizationGroupBinding, grants.organizations("member.view")),
                  (ProjectUserBinding, ProjectGroupBinding, grants.projects("member.view")))
        for of_user, of_group, ids in scopes:
            found |= Q(pk__in=of_user.objects.filter(content_object_id__in=ids).values("user_id"))
            found |= Q(groups__in=of_group.objects.filter(content_object_id__in=ids).values("group_id"))
        return self.filter(pk__in=type(self)(self.model).filter(found).values("pk"))


class PeopleManager(UserManager.from_queryset(UserQuerySet)):
    use_in_migrations = False


class User(AbstractUser, GuardianUserMixin):
    """A person (or later a service user) who signs in or owns API keys."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)
    notifications_seen_at = models.DateTimeField(null=True, editable=False)

    objects = PeopleManager()

    class Meta:
        verbose_name, verbose_name_plural = _("user"), _("users")

    @cached_property
    def grants(self):
        """This request's rights; an API key replaces it by a narrower one (tenants.authentication)."""
        from tenants.access import Grants

        return Grants.of_user(self)
