"""Operators' view of launch templates: read only. User data stays the tenant's."""
from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from compute.instances.models import LaunchTemplate
from portal.kernel.admin import ReadOnlyAdmin
from portal.kernel.admin.columns import LiveFilter


@admin.register(LaunchTemplate)
class LaunchTemplateAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "region", "default_version", "latest_version", "created_at", "deleted_at")
    list_filter = (LiveFilter, ("project", AutocompleteSelectFilter))
    search_fields = ("name",)
    list_select_related = ("project", "region")
    ordering = ("-created_at", "-id")
