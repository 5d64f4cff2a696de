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
    def people(self) -> Self:
        """Those that are persons, and not service users."""
        return self.filter(is_service=False)

    def visible_to(self, user) -> Self:
        """The caller, and users bound to an organization or project whose members the caller may see."""
        from tenants.models import (
            OrganizationGroupBinding,
            OrganizationUserBinding,
            ProjectGroupBinding,
            ProjectUserBinding,
            ServiceUser,
        )

        grants = user.grants
        if grants.sees_everything:
            return self.all()
        found = Q(pk=user.pk) | Q(pk__in=ServiceUser.objects.visible_to(user).values("pk"))
        scopes = ((OrganizationUserBinding, OrganizationGroupBinding, grants.organizations("member.view")),
                  (ProjectUserBinding, ProjectGroupBinding, grants.projects("member.view")))
        for of_user, of_group, ids in scopes:
            found |= Q(pk__in=of_user.objects.filter(content_object_id__in=ids).values("user_id"))
            found |= Q(groups__in=of_group.objects.filter(content_object_id__in=ids).values("group_id"))
        return self.filter(pk__in=type(self)(self.model).filter(found).values("pk"))


class PeopleManager(UserManager.from_queryset(UserQuerySet)):
    use_in_migrations = False


class User(AbstractUser, GuardianUserMixin):
    """A person who signs in and owns API keys, or the user behind a service user, which owns keys and can never sign in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)
    is_service = models.BooleanField(_("service user"), default=False, db_default=False, editable=False)
    notifications_seen_at = models.DateTimeField(null=True, editable=False)

    acted_by: uuid.UUID | None = None
    """The operator who acts as this user now; of no column."""

    objects = PeopleManager()

    class Meta:
        verbose_name, verbose_name_plural = _("user"), _("users")
        constraints = [
            # "!" begins what no password fits (Django's unusable password).
            models.CheckConstraint(condition=Q(is_service=False) | Q(is_superuser=False, is_staff=False, email="",
                                                                     password__startswith="!"),
                                   name="service_user_cannot_sign_in")]

    @cached_property
    def grants(self):
        """This request's rights; an API key replaces it by a narrower one (tenants.authentication)."""
        from tenants.access import Grants

        return Grants.of_user(self)
