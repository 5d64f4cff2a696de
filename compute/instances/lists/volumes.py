"""The list of volumes with the instances that they belong to: joins storage and instances."""
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance
from portal.kernel.lists import Column, Empty
from storage.models import Volume
from tenants.lists import BY_NAME, BY_REGION, BY_TAG, CREATED, ID, NAME, PROJECT, STATE, TAGS, Listing, states
from tenants.scope import narrow


@dataclass(frozen=True, kw_only=True)
class Owned:
    """The instance that a volume is a disk of, when the user sees it."""

    owner: UUID | None = None
    owner_name: str = ""


class VolumeList(Listing):
    """Volumes. Which instance one is in decides what can be done to it, so there is no verb for many."""

    name, url_name, row_template = "volumes", "volumes:list", "storage/_volume_row.html"
    title, live = _("Volumes"), "volume"
    columns = (
        ID, NAME, STATE, Column(label=_("Capacity"), value=lambda line: f"{line.row.size_gib} GiB"),
        Column(label=_("Instance"), value=lambda line: line.item.owner_name),
        Column(label=_("Class"), kind="wide-only", value=lambda line: line.row.pool_class), PROJECT, CREATED, TAGS)
    filters = (BY_NAME, states(Volume.State.choices, "deleted"), BY_REGION, BY_TAG)
    empty = Empty(icon="database", title=_("No volumes yet"),
                  action=_("Create volume"), text=_(
                      "Every instance brings a root volume of its own. Further ones are made here, and attached later."),
                  url_name="volumes:create", permission="volume.create", command="mains volume create data --size-gib 20")

    def rows(self) -> QuerySet[Volume]:
        return narrow(self.request, Volume.objects.visible_to(self.request.user)).select_related(
            "project__organization", "region", "attachment")

    def items(self, rows: list[Volume]) -> list[Owned]:
        domains = {row.pk: row.attachment.domain for row in rows if hasattr(row, "attachment")}
        names = dict(Instance.objects.visible_to(self.user).filter(pk__in=domains.values()).values_list("pk", "name"))
        return [Owned(owner=domain, owner_name=names[domain]) if (domain := domains.get(row.pk)) in names else Owned()
                for row in rows]

    def is_changing(self, row: Volume) -> bool:
        return Volume.TONES[row.state] == "busy"
