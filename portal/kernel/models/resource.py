"""Everything a tenant owns has one row here; typed tables extend it (their primary key is the resource's)."""
import uuid
from typing import Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ResourceKind, registry

from .places import Region


class ResourceQuerySet(models.QuerySet):
    """Tenants see only what their bindings reach; `visible_to` is the one way to ask."""

    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, user, permission: str | None = None) -> Self:
        """Live rows whose project grants `permission` (the kind's own when not given) to `user`."""
        grants = user.grants
        # The kind says nothing new of a typed table; it lets PostgreSQL read a page off an index of resources.
        rows = self.live().filter(kind=self.model.KIND) if self.model.KIND else self.live()
        if grants.sees_everything:
            return rows
        permission = permission or registry.kinds[self.model.KIND].permission
        return rows.filter(self.visibility(grants.projects(permission)))

    def visibility(self, project_ids: set) -> Q:
        """Overridden by kinds that are shared beyond their project (public images)."""
        return Q(project_id__in=project_ids)


class Resource(models.Model):
    """One thing that a tenant owns, whatever its kind; rows outlive deletion (usage and audit point here)."""

    KIND = ""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40, editable=False)
    project = models.ForeignKey("tenants.Project", models.PROTECT, related_name="resources", verbose_name=_("project"))
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", verbose_name=_("region"))
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True)
    tags = models.JSONField(_("tags"), default=dict, blank=True)
    version = models.PositiveBigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = ResourceQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("resource"), _("resources")
        indexes = [
            models.Index(fields=["project", "kind", "-created_at", "-id"], name="resource_listing"),
            models.Index(fields=["project", "updated_at"], name="resource_news"),
            # Pages of lists in either order, over many projects or all: walked from the cursor, whatever the depth.
            models.Index(fields=["kind", "-created_at", "-id"], name="resource_newest", condition=Q(deleted_at=None)),
            models.Index(fields=["-created_at", "-id"], name="resource_newest_of_all", condition=Q(deleted_at=None)),
            models.Index(fields=["kind", "name", "id"], name="resource_by_name", condition=Q(deleted_at=None)),
            GinIndex(fields=["tags"], name="resource_tags"),
            # Parts of names, in any case (`icontains`): the search over all kinds, and every list's filter by name.
            GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="resource_name_parts", condition=Q(deleted_at=None)),
        ]
        constraints = [models.CheckConstraint(condition=~Q(kind=""), name="resource_has_a_kind")]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if self.__dict__.get("kind") == "":  # not when it was left out of what was read
            self.kind = self.KIND

    def __str__(self) -> str:
        return self.name

    @property
    def declared(self) -> ResourceKind:
        return registry.kinds[self.kind]
