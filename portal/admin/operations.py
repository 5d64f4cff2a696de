"""Operations in admin: read only, explained, with the two pushes that the engine has: try again now, and cancel."""
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from portal.admin import explained
from portal.kernel import audit
from portal.kernel.admin import ReadOnlyAdmin, act
from portal.kernel.admin.columns import OperationKindFilter, operation_kind, toned
from portal.kernel.models import Operation
from portal.kernel.operations.submit import request_cancel, retry_now
from portal.queries import needing_a_person
from portal.templatetags.ui import OPERATION_TONES, error_text


class AttentionFilter(DropdownFilter):
    """What the engine cannot settle alone."""

    title, parameter_name = _("attention"), "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("person", _("Needs a person")), ("live", _("Under way"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "person":
            return queryset.filter(pk__in=needing_a_person().order_by().values("pk"))
        return queryset.unfinished() if self.value() == "live" else queryset


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    list_display = ("kind_word", "state_now", "target", "step_word", "attempts", "what_is_wrong", "created_at", "finished_at")
    list_filter = (AttentionFilter, ("state", ChoicesDropdownFilter), OperationKindFilter, ("region", RelatedDropdownFilter),
                   ("project", AutocompleteSelectFilter))
    search_fields = ("target__name", "request_id")
    identifiers = ("pk", "target_id", "parent_id")
    list_select_related = ("target",)
    page_related = ("target", "project", "region", "actor", "parent")
    ordering = ("-created_at", "-id")
    fields = ("kind_word", "state", "target", "project", "region", "actor", "parent", "request_id", "created_at", "started_at",
              "finished_at", "deadline", "arguments", "facts", "history", "result")
    readonly_fields = ("kind_word",)
    actions = ("retry", "cancel")
    state_now = toned(tones=OPERATION_TONES)

    def name_of(self, row: Operation) -> str:
        return f"{operation_kind(row.kind)} – {row.target}" if row.target else operation_kind(row.kind)

    @display(description=_("kind"), ordering="kind")
    def kind_word(self, operation: Operation) -> str:
        return operation_kind(operation.kind)

    @display(description=_("step"), empty_value="–")
    def step_word(self, operation: Operation) -> str | None:
        return explained.step_word(operation, operation.step_name) if operation.step_name else None

    @display(description=_("what is wrong"), empty_value="–")
    def what_is_wrong(self, operation: Operation) -> str | None:
        return error_text(operation.error)[:120] or None

    @act(_("Try again now"), why_not=explained.why_no_retry)
    def retry(self, row: Operation, actor) -> None:
        retry_now(row)
        audit.record("operation.retry", row, actor=actor, operation=row)

    @act(_("Cancel"), confirm=_("What was done so far is undone, step by step, backwards."), why_not=explained.why_no_cancel)
    def cancel(self, row: Operation, actor) -> None:
        request_cancel(row)
        audit.record("operation.cancel", row, actor=actor, operation=row)

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, form_url: str = "",
                        extra_context: dict[str, Any] | None = None) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id and self.has_view_permission(request) else None
        known = {"explained": explained.explain(row)} if row is not None else {}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | known)
