"""People in admin: bindings, groups, roles and invitations of organizations. Tenants make them on their own pages."""
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from portal.kernel.admin import ALREADY, ReadOnlyAdmin, act
from tenants import invitations
from tenants.models import Binding, Group, Invitation, Role, User


@admin.register(Binding)
class BindingAdmin(ReadOnlyAdmin):
    """Who has which role where; given and taken on the pages of organizations and projects."""

    list_display = ("role", "user", "group", "organization", "project")
    list_filter = (("organization", AutocompleteSelectFilter), ("user", AutocompleteSelectFilter))
    search_fields = ("role", "user__username")
    list_select_related = ("user", "group", "organization", "project")
    ordering = ("role", "pk")


@admin.register(Group)
class OwnGroupAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "created_at")
    list_filter = (("organization", AutocompleteSelectFilter),)
    search_fields = ("name", "organization__name")
    list_select_related = ("organization",)
    ordering = ("name",)


@admin.register(Role)
class RoleAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "created_at")
    list_filter = (("organization", AutocompleteSelectFilter),)
    search_fields = ("name", "organization__name")
    list_select_related = ("organization",)
    ordering = ("name",)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ("email", "role", "organization", "project", "invited_by", "created_at", "expires_at", "accepted_at",
                    "revoked_at")
    list_filter = (("accepted_at", admin.EmptyFieldListFilter), ("organization", AutocompleteSelectFilter))
    search_fields = ("email", "organization__name")
    list_select_related = ("organization", "project", "invited_by")
    ordering = ("-created_at",)
    exclude = ("token_hash",)
    actions = ("revoke",)

    @act(_("Revoke"), confirm=_("Its link is worth nothing from now on."),
         why_not=lambda row: "" if row.state == "pending" else ALREADY)
    def revoke(self, row: Invitation, actor: User) -> None:
        invitations.revoke(row, actor=actor)
