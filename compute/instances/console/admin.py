"""Consoles in admin: who opened which screen when. Tickets are made and ended by the relay alone."""
from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from compute.instances.console.models import ConsoleTicket
from portal.kernel.admin import ReadOnlyAdmin


@admin.register(ConsoleTicket)
class ConsoleTicketAdmin(ReadOnlyAdmin):
    list_display = ("instance", "user", "type", "created_at", "used_at", "closed_at")
    list_filter = ("type", ("used_at", admin.EmptyFieldListFilter), ("closed_at", admin.EmptyFieldListFilter),
                   ("user", AutocompleteSelectFilter))
    search_fields = ("instance__name", "user__username")
    identifiers = ("pk", "instance_id")
    list_select_related = ("instance", "user")
    ordering = ("-created_at",)
    fields = ("instance", "user", "api_key", "type", "generation", "created_at", "expires_at", "used_at", "seen_at", "closed_at")
    readonly_fields = fields
