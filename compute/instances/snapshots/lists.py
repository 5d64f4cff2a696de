"""The list of snapshots of all instances."""
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.instances.models import HEAVY, Snapshot
from portal.kernel.lists import Column, Empty
from tenants.lists import BY_NAME, BY_REGION, BY_TAG, CREATED, ID, NAME, PROJECT, STATE, TAGS, Listing, states
from tenants.scope import narrow


class SnapshotList(Listing):
    """Snapshots. They are taken on the pages of instances, where they are a tree."""

    name, url_name, row_template = "snapshots", "snapshots:list", "snapshots/_snapshot_row.html"
    title, live = _("Snapshots"), "snapshot"
    columns = (
        ID, NAME, STATE, Column(label=_("Instance"), value=lambda line: line.row.of_instance.name),
        Column(label=_("Capacity"), kind="wide-only", value=lambda line: f"{line.row.size_gib.normalize():f} GiB"),
        Column(label=_("With memory"), kind="wide-only", value=lambda line: _("yes") if line.row.has_memory else _("no")),
        PROJECT, CREATED, TAGS)
    filters = (BY_NAME, states(Snapshot.State.choices, "deleted"), BY_REGION, BY_TAG)
    empty = Empty(icon="camera", title=_("No snapshots yet"), action=_("Instances"), url_name="instances:list",
                  permission="snapshot.create", command='mains instance snapshot web-1 --name before',
                  text=_("Take one on the page of an instance, before something that may go wrong: it can be reverted to that."))
    create = Empty(icon="camera", title="", text="")

    def rows(self) -> QuerySet[Snapshot]:
        rows = Snapshot.objects.visible_to(self.user).select_related("project__organization", "region", "of_instance")
        return narrow(self.request, rows.defer(*(f"of_instance__{name}" for name in HEAVY)))

    def is_changing(self, row: Snapshot) -> bool:
        return row.in_flight
