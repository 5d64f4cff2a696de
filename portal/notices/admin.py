"""Notifications by mail in admin: what was sent to whom and what was not, and why."""
from django.contrib import admin

from portal.kernel.admin import ReadOnlyAdmin
from portal.notices.models import Letter, Notice, Preferences


@admin.register(Letter)
class LetterAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "user", "state", "error", "tries", "next_at", "finished_at")
    list_filter = ("state",)
    search_fields = ("user__username",)
    identifiers = ("pk", "user_id")
    list_select_related = ("user",)
    ordering = ("-created_at",)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("at", "act", "user", "kind", "organization", "project", "due_at", "letter")
    list_filter = ("kind",)
    search_fields = ("act", "user__username")
    identifiers = ("pk", "user_id", "event_id")
    list_select_related = ("user", "organization", "project", "letter")
    ordering = ("-at",)


@admin.register(Preferences)
class PreferencesAdmin(ReadOnlyAdmin):
    list_display = ("user", "mails", "silent", "time_zone", "updated_at")
    list_filter = ("time_zone",)
    search_fields = ("user__username",)
    identifiers = ("user_id",)
    list_select_related = ("user",)
    ordering = ("user__username",)
