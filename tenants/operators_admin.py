"""Programs' identities in admin, and what operators do for a reason that tenants read: emergency accesses, acting as a user."""
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from portal.kernel.admin import ALREADY, OperatorsActions, ReadOnlyAdmin, act
from portal.kernel.errors import PortalError
from tenants import glass, impersonation, service_users
from tenants.models import BreakGlass, Impersonation, ServiceUser


@admin.register(ServiceUser)
class ServiceUserAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "project", "created_at", "deleted_at")
    list_filter = (("project", AutocompleteSelectFilter), ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "user__username")
    identifiers = ("pk", "project_id")
    list_select_related = ("user", "project")
    ordering = ("name", "pk")
    actions = ("deactivate",)

    @act(_("Deactivate"), confirm=_("Programs that use its keys are refused from now on."),
         why_not=lambda row: "" if row.user.is_active else ALREADY)
    def deactivate(self, row: ServiceUser, actor) -> None:
        service_users.deactivate(row, actor=actor)


class ReasonForm(forms.ModelForm):
    """What the verb refuses is shown at its field."""

    request: HttpRequest

    def clean(self) -> dict[str, Any]:
        chosen = super().clean()
        if not self.errors:
            try:
                self.made = self.carry_out(chosen)
            except PortalError as error:
                for name, texts in (error.errors or {None: [error.detail]}).items():
                    self.add_error(name if name in self.fields else None, texts)
        return chosen

    def carry_out(self, chosen: dict[str, Any]) -> Any:
        raise NotImplementedError


class BreakGlassForm(ReasonForm):
    minutes = forms.IntegerField(label=_("For how many minutes"), min_value=1, initial=60,
                                 max_value=glass.LONGEST // timedelta(minutes=1))

    class Meta:
        model = BreakGlass
        fields = ("organization", "project", "reason")

    def carry_out(self, chosen: dict[str, Any]) -> BreakGlass:
        return glass.break_glass(chosen["organization"], project=chosen["project"], reason=chosen["reason"],
                                 duration=timedelta(minutes=chosen["minutes"]), actor=self.request.user)


class ImpersonationForm(ReasonForm):
    class Meta:
        model = Impersonation
        fields = ("user", "reason")

    def carry_out(self, chosen: dict[str, Any]) -> Impersonation:
        return impersonation.start(chosen["user"], reason=chosen["reason"], actor=self.request.user, request=self.request)


class ByVerb(OperatorsActions):
    """Rows that superusers make by a verb and nobody edits."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.request = request
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_readonly_fields(request, obj) if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else self.asked

    def save_form(self, request: HttpRequest, form: ReasonForm, change: bool) -> Any:
        form.save_m2m = lambda: None
        return form.made

    def save_model(self, *_arguments: Any) -> None:
        """The verb has."""

    def log_addition(self, *_arguments: Any) -> None:
        """The audit trail has it."""


@admin.register(BreakGlass)
class BreakGlassAdmin(ByVerb):
    form, asked = BreakGlassForm, ("organization", "project", "reason", "minutes")
    list_display = ("operator", "organization", "project", "reason", "started_at", "expires_at", "ended_at")
    list_filter = (("organization", AutocompleteSelectFilter), ("operator", AutocompleteSelectFilter))
    search_fields = ("organization__name", "operator__username", "reason")
    list_select_related = ("operator", "organization", "project")
    autocomplete_fields = ("organization", "project")
    ordering = ("-started_at",)
    actions = ("end",)

    @act(_("End"), why_not=lambda row: "" if row.is_live else ALREADY)
    def end(self, row: BreakGlass, actor) -> None:
        glass.end(row, actor=actor)


@admin.register(Impersonation)
class ImpersonationAdmin(ByVerb):
    form, asked = ImpersonationForm, ("user", "reason")
    list_display = ("operator", "user", "reason", "started_at", "expires_at", "ended_at")
    list_filter = (("user", AutocompleteSelectFilter), ("operator", AutocompleteSelectFilter))
    search_fields = ("user__username", "operator__username", "reason")
    list_select_related = ("operator", "user")
    autocomplete_fields = ("user",)
    ordering = ("-started_at",)
    actions = ("end",)

    @act(_("End"), why_not=lambda row: "" if row.is_live else ALREADY)
    def end(self, row: Impersonation, actor) -> None:
        impersonation.stop(row)

    def response_add(self, request: HttpRequest, obj: Impersonation, post_url_continue: str | None = None) -> HttpResponse:
        """Where they would be."""
        return redirect("dashboard")
