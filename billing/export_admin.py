"""Operators' view of exports and their schedules: read only. Addresses often carry a secret: only their hosts are shown."""
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from billing.exports import schedules
from billing.models import Export, ExportSchedule
from portal.kernel.admin import ALREADY, ReadOnlyAdmin, act
from tenants.models import User


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    list_display = ("what", "organization", "first_month", "last_month", "format", "state", "delivery", "rows", "size",
                    "created_at")
    list_filter = ("state", "delivery", "what", ("organization", AutocompleteSelectFilter))
    list_select_related = ("organization",)
    page_related = ("schedule", "maker")
    search_fields = ("organization__name",)
    identifiers = ("pk", "organization_id", "schedule_id", "operation")
    ordering = ("-created_at", "-id")


@admin.register(ExportSchedule)
class ExportScheduleAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "what", "format", "every", "host", "folder", "state", "next_at")
    list_filter = ("state", "every", ("organization", AutocompleteSelectFilter))
    list_select_related = ("organization",)
    page_related = ("maker",)
    search_fields = ("name", "organization__name")
    identifiers = ("pk", "organization_id")
    ordering = ("-created_at", "-id")
    exclude = ("secret", "url")
    actions = ("disable",)

    @display(description=_("host"))
    def host(self, schedule: ExportSchedule) -> str:
        return schedules.host_of(schedule)

    @act(_("Disable"), confirm=_("No file is made until somebody enables it again."),
         why_not=lambda row: "" if row.is_enabled else ALREADY)
    def disable(self, row: ExportSchedule, actor: User) -> None:
        schedules.change_schedule(row, actor=actor, enabled=False)
