"""Operators' view of schedules: read only, but for enabling and disabling. The owner stays who it is."""
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from compute.instances.models import InstanceSchedule
from compute.instances.schedules.reasons import REASONS
from compute.instances.schedules.verbs import UNREAD, change_schedule, lacks
from portal.kernel.admin import ALREADY, ReadOnlyAdmin, act
from tenants.models import User


@admin.register(InstanceSchedule)
class InstanceScheduleAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "verb", "instance", "tag", "cron", "time_zone", "state", "next_at", "owner")
    list_filter = ("state", "verb", ("project", AutocompleteSelectFilter))
    list_select_related = ("project", "instance", "owner")
    search_fields = ("name", "project__name")
    identifiers = ("pk", "project_id", "instance_id")
    ordering = ("-created_at", "-id")
    actions = ("enable", "disable")

    def get_queryset(self, request: HttpRequest) -> QuerySet[InstanceSchedule]:
        return super().get_queryset(request).select_related("instance").defer(*UNREAD)

    @act(_("Enable"), why_not=lambda row: ALREADY if row.is_enabled else REASONS.get(lacks(row), ""))
    def enable(self, row: InstanceSchedule, actor: User) -> None:
        change_schedule(row, actor=actor, enabled=True)

    @act(_("Disable"), confirm=_("Nothing is done by it until somebody enables it again."),
         why_not=lambda row: "" if row.is_enabled else ALREADY)
    def disable(self, row: InstanceSchedule, actor: User) -> None:
        change_schedule(row, actor=actor, enabled=False)
