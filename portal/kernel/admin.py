"""The kernel in admin: catalogue rows are edited, operations and the audit trail only read."""
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from portal.kernel import audit
from portal.kernel.errors import PortalError
from portal.kernel.models import AuditEvent, Operation, Region, Resource, Zone
from portal.kernel.operations.submit import request_cancel, retry_now


class OperatorsActions(ModelAdmin):
    """Actions are for superusers: who may only look (staff with view permissions) changes nothing by a bulk action."""

    def get_actions(self, request: HttpRequest) -> dict:
        return super().get_actions(request) if request.user.is_superuser else {}


class AuditedAdmin(OperatorsActions):
    """What is edited here is in the audit trail, as anywhere else; secrets are masked by their names."""

    def save_model(self, request: HttpRequest, obj, form, change: bool) -> None:
        before = {name: form.initial.get(name) for name in form.changed_data} if change else None
        super().save_model(request, obj, form, change)
        audit.record(f"{obj._meta.model_name}.{'update' if change else 'create'}", obj, actor=request.user, before=before,
                     after={name: form.cleaned_data.get(name) for name in form.changed_data})

    def save_formset(self, request: HttpRequest, form, formset, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for verb, rows in (("create", formset.new_objects), ("update", [row for row, _fields in formset.changed_objects]),
                           ("delete", formset.deleted_objects)):
            for row in rows:
                audit.record(f"{row._meta.model_name}.{verb}", row, actor=request.user, after={"row": str(row)})

    def delete_model(self, request: HttpRequest, obj) -> None:
        audit.record(f"{obj._meta.model_name}.delete", obj, actor=request.user, before={"name": str(obj)})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


class ReadOnlyAdmin(OperatorsActions):
    """Everything can be found, nothing can be changed by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Region)
class RegionAdmin(AuditedAdmin):
    list_display = ("name", "slug", "is_open")
    search_fields = ("name", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()  # the region's queue is named by it


@admin.register(Zone)
class ZoneAdmin(AuditedAdmin):
    list_display = ("name", "slug", "region", "is_open")
    search_fields = ("name", "slug")
    list_select_related = ("region",)
    autocomplete_fields = ("region",)


@admin.register(Resource)
class ResourceAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "project", "region", "created_at", "deleted_at")
    list_filter = ("kind", "region")
    search_fields = ("name", "id")
    list_select_related = ("project", "region")


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    list_display = ("kind", "state", "target", "step_name", "attempts", "person_since", "created_at", "finished_at")
    list_filter = ("state", "kind", ("person_since", admin.EmptyFieldListFilter))
    search_fields = ("id", "target__name", "target__id", "request_id")
    list_select_related = ("target",)
    ordering = ("-created_at",)
    actions = ("retry", "cancel")

    @admin.action(description=_("Try again now"))
    def retry(self, request: HttpRequest, queryset) -> None:
        self._each(request, queryset, "operation.retry", retry_now)

    @admin.action(description=_("Cancel (undo what was done)"))
    def cancel(self, request: HttpRequest, queryset) -> None:
        self._each(request, queryset, "operation.cancel", request_cancel)

    def _each(self, request: HttpRequest, queryset, act: str, verb) -> None:
        for operation in queryset:
            try:
                verb(operation)
                audit.record(act, operation, actor=request.user, operation=operation)
                messages.success(request, str(operation))
            except PortalError as error:
                messages.error(request, f"{operation}: {error.detail}")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "action", "target_name", "actor", "project", "address", "result")
    list_filter = ("result", "action")
    search_fields = ("target_name", "target_id", "actor__username", "request_id", "action")
    list_select_related = ("actor", "project")
    date_hierarchy = "at"
