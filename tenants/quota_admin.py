"""Limits, and requests for higher ones, in admin."""
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from portal.kernel.admin import ALREADY, AuditedAdmin, ReadOnlyAdmin, act
from portal.kernel.admin.columns import OneOf
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput
from tenants import quota_requests
from tenants.limits import check_dimension
from tenants.models import Organization, Project, Quota, QuotaRequest, User


class QuotaForm(forms.ModelForm):
    """Dimensions are what the rooms declare."""

    dimension = forms.ChoiceField(label=_("Resource"), widget=UnfoldAdminSelectWidget, choices=lambda: [
        (name, declared.label) for name, declared in sorted(registry.dimensions.items(), key=lambda pair: str(pair[1].label))])

    class Meta:
        model = Quota
        fields = ("organization", "project", "region", "dimension", "limit")

    def clean(self) -> dict[str, Any]:
        chosen = super().clean()
        if "dimension" in chosen:
            try:
                check_dimension(chosen["dimension"], chosen.get("region"))
            except InvalidInput as error:
                self.add_error("region", [text for texts in error.errors.values() for text in texts])
        if {"organization", "project"} <= set(self.fields) and not self.errors and (
                bool(chosen.get("organization")) == bool(chosen.get("project"))):
            self.add_error("project", _("Choose an organization or a project, one of the two."))
        return chosen


class OrganizationQuotas(TabularInline):
    model, form = Quota, QuotaForm
    fk_name = "organization"
    fields = ("region", "dimension", "limit")
    extra = 0
    hide_title = True

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Regions are read once for all lines, not for each."""
        field = super().formfield_for_foreignkey(db_field, request, **options)
        if db_field.name == "region":
            field.choices = [("", field.empty_label), *((row.pk, str(row)) for row in field.queryset)]
        return field


class ProjectQuotas(OrganizationQuotas):
    fk_name = "project"


class DimensionFilter(OneOf):
    title, parameter_name, declared = _("resource"), "dimension", registry.dimensions


@admin.register(Quota)
class QuotaAdmin(AuditedAdmin):
    form = QuotaForm
    list_display = ("scope", "region", "dimension_word", "limit")
    list_filter = (DimensionFilter, ("region", RelatedDropdownFilter), ("organization", AutocompleteSelectFilter),
                   ("project", AutocompleteSelectFilter))
    search_fields = ("organization__name", "project__name")
    identifiers = ("organization_id", "project_id")
    list_select_related = ("organization", "project", "region")
    autocomplete_fields = ("organization", "project", "region")
    ordering = ("pk",)

    @display(description=_("whose"))
    def scope(self, quota: Quota) -> Organization | Project:
        return quota.organization or quota.project

    @display(description=_("resource"), ordering="dimension")
    def dimension_word(self, quota: Quota) -> Any:
        declared = registry.dimensions.get(quota.dimension)
        return declared.label if declared else quota.dimension

    def get_readonly_fields(self, request: HttpRequest, obj: Quota | None = None) -> tuple[str, ...]:
        return ("organization", "project") if obj else ()


@admin.register(QuotaRequest)
class QuotaRequestAdmin(ReadOnlyAdmin):
    """The inbox. What is granted here is all that is wanted; another limit, and words, are given on the portal's own page."""

    list_display = ("scope", "dimension_word", "region", "wanted", "state", "requested_by", "created_at")
    list_filter = ("state", DimensionFilter, ("organization", AutocompleteSelectFilter), ("project", AutocompleteSelectFilter))
    search_fields = ("organization__name", "project__name", "requested_by__username")
    identifiers = ("pk", "organization_id", "project_id")
    list_select_related = ("organization", "project", "region", "requested_by")
    ordering = ("-created_at",)
    actions = ("grant", "refuse")

    scope, dimension_word = QuotaAdmin.scope, QuotaAdmin.dimension_word

    @act(_("Grant"), confirm=_("The limit becomes what is wanted."), why_not=lambda row: "" if row.state == "open" else ALREADY)
    def grant(self, row: QuotaRequest, actor: User) -> None:
        quota_requests.grant(row, actor=actor)

    @act(_("Refuse"), confirm=_("The limit stays as it is."), why_not=lambda row: "" if row.state == "open" else ALREADY)
    def refuse(self, row: QuotaRequest, actor: User) -> None:
        quota_requests.refuse(row, answer=gettext("An operator decided that the limit stays as it is."), actor=actor)
