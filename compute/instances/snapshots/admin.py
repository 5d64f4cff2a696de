"""Operators' view of snapshots: read, and deleted by the tenant's own verb."""
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from compute.instances.models import Snapshot
from compute.instances.snapshots.verbs import delete_snapshot, why_not_delete
from portal.kernel.admin import ReadOnlyAdmin, act
from portal.kernel.admin.columns import LiveFilter, toned


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("name", "state_now", "of_instance", "has_memory", "disk_gib", "project", "created_at", "deleted_at")
    list_filter = (("state", ChoicesDropdownFilter), LiveFilter, "has_memory", ("project", AutocompleteSelectFilter))
    search_fields = ("name", "of_instance__name")
    list_select_related = ("project", "of_instance")
    ordering = ("-created_at", "-id")
    exclude = ("shape",)
    actions = ("delete",)
    state_now = toned()

    @act(_("Delete"), confirm=_("It is taken out of the volumes. Those that were taken after it stay."),
         why_not=lambda row: why_not_delete(row, row.of_instance))
    def delete(self, row: Snapshot, actor) -> str:
        delete_snapshot(row, actor=actor)
        return str(_("The snapshot is being deleted."))
