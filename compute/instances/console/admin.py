"""Consoles in admin: who opened which screen when, and links to look. Tickets are made by the relay alone; open sessions are
ended, and links revoked, by the rooms' own verbs."""
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from compute.instances.console.links import revoke_link
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.console.sessions import end_session
from portal.kernel.admin import ALREADY, ReadOnlyAdmin, act

OVER = _("It is not open.")


@admin.register(ConsoleTicket)
class ConsoleTicketAdmin(ReadOnlyAdmin):
    list_display = ("instance", "user", "type", "link", "address", "created_at", "used_at", "closed_at")
    list_filter = ("type", ("used_at", admin.EmptyFieldListFilter), ("closed_at", admin.EmptyFieldListFilter),
                   ("link", admin.EmptyFieldListFilter), ("user", AutocompleteSelectFilter))
    search_fields = ("instance__name", "user__username")
    identifiers = ("pk", "instance_id")
    list_select_related = ("instance", "user", "link")
    ordering = ("-created_at",)
    fields = ("instance", "user", "api_key", "type", "takes_over", "link", "generation", "address", "created_at", "expires_at",
              "used_at", "seen_at", "closed_at", "ended_at", "ended_by")
    readonly_fields = fields
    actions = ("end",)

    @act(_("End session"), confirm=_("The console is closed within seconds. Whoever may open it can open it anew."),
         why_not=lambda row: OVER if row.used_at is None or row.closed_at else ALREADY if row.ended_at else "")
    def end(self, row: ConsoleTicket, actor) -> None:
        end_session(row.instance, row.pk, actor=actor)


@admin.register(ConsoleLink)
class ConsoleLinkAdmin(ReadOnlyAdmin):
    list_display = ("instance", "maker", "created_at", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), ("maker", AutocompleteSelectFilter))
    search_fields = ("instance__name", "maker__username")
    identifiers = ("pk", "instance_id")
    list_select_related = ("instance", "maker")
    ordering = ("-created_at",)
    fields = ("instance", "maker", "api_key", "generation", "created_at", "expires_at", "revoked_at")
    readonly_fields = fields
    actions = ("revoke",)

    @act(_("Revoke"), confirm=_("Nobody looks by it any more."), why_not=lambda row: ALREADY if row.revoked_at else "")
    def revoke(self, row: ConsoleLink, actor) -> None:
        revoke_link(row.instance, row.pk, actor=actor)
