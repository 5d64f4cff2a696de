"""What every admin page of ours stands on: lists that stay quick with very many rows, acts that go through the rooms'
verbs, edits that are audited, and rows that are only read. Nothing here knows a room.
"""
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.paginator import Paginator
from django.db import models, transaction
from django.forms import BaseForm, BaseModelFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import conditional_escape
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, checkbox
from unfold.decorators import display
from unfold.views import ChangeList

from portal.kernel import audit
from portal.kernel.admin.keys import AsksForKeys
from portal.kernel.admin.words import name_columns
from portal.kernel.errors import PortalError
from portal.kernel.planning import planned_by_values

NO_ROW = "00-no-row-00"
CHECKBOX = checkbox.render(ACTION_CHECKBOX_NAME, NO_ROW)
COUNTED = 2_000
MOST_AT_ONCE = 100


class CappedPaginator(Paginator):
    """Counts no further than a person pages: counting a large table takes longer than showing a page of it."""

    template_name = "admin/pagination_capped.html"

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[:COUNTED].count()

    @property
    def is_capped(self) -> bool:
        return self.count >= COUNTED


class QuickChangeList(ChangeList):
    """The same list; “of how many in all” is said only where something was searched for."""

    def get_results(self, request: HttpRequest) -> None:
        with planned_by_values():
            super().get_results(request)
            len(self.result_list)  # reads the rows
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count


class Trouble(str):
    """What a verb says that did its work and found something wrong: told as an error, nothing is taken back."""


class Named:
    """A row under the name that its page says; all else is the row's."""

    def __init__(self, row: models.Model, name: str) -> None:
        self._row, self._name, self._meta = row, name, row._meta

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)

    def __str__(self) -> str:
        return self._name


def act(label: Any, *, confirm: Any = "", why_not: Callable[[Any], Any] | None = None) -> Callable:
    """Make a verb on one row an action on many and a button on the row's page.

    The verb is called as `verb(admin, row, actor)` and may return what to say. Each row succeeds or fails alone and says
    so; PortalErrors are told, not raised. `confirm` is asked first. `why_not` says of a row why the button is off.
    """
    def declare(verb: Callable) -> Callable:
        @admin.action(description=label, permissions=("operate",))
        @wraps(verb)
        def action(model_admin: "OperatorsActions", request: HttpRequest, queryset: models.QuerySet) -> HttpResponse | None:
            return model_admin.perform(request, queryset, action)

        action.verb, action.label, action.confirm, action.why_not = verb, label, confirm, why_not
        action.do_not_call_in_templates = True  # a template that reads its label would call it first
        return action
    return declare


class OperatorsActions(AsksForKeys, ModelAdmin):
    """Lists and acts. Who may change a model by Django's permissions may act on its rows; who may only look changes nothing."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the whole table
    list_per_page = 20
    list_disable_select_all = True
    list_filter_submit = False
    change_form_outer_before_template = "admin/acts.html"
    identifiers: tuple[str, ...] = ("pk",)  # looked up at once when somebody searches for an id
    page_related: tuple[str, ...] = ()  # what the page of one row shows of others

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        name_columns(model)
        super().__init__(model, admin_site)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return QuickChangeList

    @display(description=mark_safe(checkbox.render("action_toggle_all", 1)))
    def action_checkbox(self, obj: models.Model) -> str:
        """The theme's, whose template is not rendered anew for each row: that took a seventh of a list's time."""
        return mark_safe(CHECKBOX.replace(NO_ROW, conditional_escape(obj.pk)))

    def get_search_results(self, request: HttpRequest, queryset: models.QuerySet,
                           search_term: str) -> tuple[models.QuerySet, bool]:
        key = id_in(search_term) if self.identifiers else None
        if key is None:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(models.Q.create([(name, key) for name in self.identifiers], models.Q.OR)), False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        rows = super().get_queryset(request)
        kind = getattr(self.model, "KIND", "")
        # The kind says nothing new of a typed table; it lets PostgreSQL read a page off the index `resource_newest`.
        rows = rows.filter(kind=kind) if kind else rows
        is_page = request.resolver_match is not None and (request.resolver_match.url_name or "").endswith("_change")
        return rows.select_related(*self.page_related) if is_page and self.page_related else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row; while a page of it is made, the same one whoever asks."""
        if request.method not in ("GET", "HEAD"):
            return super().get_object(request, object_id, from_field)
        found = request.__dict__.setdefault("_shown_rows", {})
        key = (self.opts.label, object_id, from_field)
        if key not in found:
            found[key] = super().get_object(request, object_id, from_field)
        return found[key]

    # -- acts --

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def get_actions(self, request: HttpRequest) -> dict:
        return super().get_actions(request) if self.has_operate_permission(request) else {}

    def perform(self, request: HttpRequest, queryset: models.QuerySet, action: Callable) -> HttpResponse | None:
        """Ask first where that is wanted, then act on each row by itself and tell how each went."""
        rows = list(queryset[:MOST_AT_ONCE + 1])
        if len(rows) > MOST_AT_ONCE:
            messages.error(request, _("At most %(most)s at once.") % {"most": MOST_AT_ONCE})
            return None
        if action.confirm and "confirmed" not in request.POST:
            return self._asked(request, rows, action)
        for row in rows:
            self._one(request, row, action)
        return self._back(request, rows)

    def _one(self, request: HttpRequest, row: models.Model, action: Callable) -> None:
        try:
            with transaction.atomic():
                said = action.verb(self, row, request.user)
        except PortalError as error:
            said = Trouble(_reason(error))
        say = messages.error if isinstance(said, Trouble) else messages.success
        say(request, f"{self.name_of(row)}: {said if isinstance(said, str) else action.label}")

    def name_of(self, row: models.Model) -> str:
        """What messages and its page's title call it."""
        return str(row)

    def _asked(self, request: HttpRequest, rows: list[models.Model], action: Callable) -> HttpResponse:
        return TemplateResponse(request, "admin/confirm_act.html", self.admin_site.each_context(request) | {
            "title": action.label, "opts": self.opts, "rows": rows, "action": action, "name": request.POST.get("action"),
            "is_back": "back" in request.POST, "checkbox": ACTION_CHECKBOX_NAME})

    def _back(self, request: HttpRequest, rows: list[models.Model]) -> HttpResponse | None:
        """To the row's own page when the button there was pressed; None for the list."""
        if "back" not in request.POST or len(rows) != 1:
            return None
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", rows[0].pk)

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, form_url: str = "",
                        extra_context: dict[str, Any] | None = None) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id else None
        known = {} if row is None else {"acts": self._acts(request, row), "checkbox": ACTION_CHECKBOX_NAME,
                                        "original": Named(row, self.name_of(row))}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | known)

    def _acts(self, request: HttpRequest, row: models.Model) -> list[dict[str, Any]]:
        found = [(name, action) for action, name, _label in self.get_actions(request).values() if hasattr(action, "verb")]
        return [{"name": name, "label": action.label, "why_not": action.why_not(row) if action.why_not else ""}
                for name, action in found]

    # -- one trail: the portal's own --

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The audit trail, narrowed to the row."""
        return redirect(f"{reverse('admin:kernel_auditevent_changelist')}?q={object_id}")

    def log_addition(self, *args: Any, **kwargs: Any) -> None:
        """Django's own log would be a second trail."""

    log_change = log_deletions = log_addition


def id_in(text: str) -> UUID | None:
    """The id that somebody searches for, if it is one."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _reason(error: PortalError) -> str:
    return " ".join(str(text) for texts in error.errors.values() for text in texts) or error.detail


class AuditedAdmin(OperatorsActions):
    """What is edited here is in the audit trail, as anywhere else, with before and after; secrets are masked by their names."""

    def save_model(self, request: HttpRequest, obj: models.Model, form: BaseForm, change: bool) -> None:
        before = _told(form, form.changed_data, form.initial) if change else None
        super().save_model(request, obj, form, change)
        if form.changed_data or not change:
            audit.record(f"{obj._meta.model_name}.{'update' if change else 'create'}", obj, actor=request.user, before=before,
                         after=_told(form, form.changed_data, form.cleaned_data))

    def save_formset(self, request: HttpRequest, form: BaseForm, formset: BaseModelFormSet, change: bool) -> None:
        edited = {part.instance.pk: part for part in formset.initial_forms if part.has_changed()}
        gone = {row.pk: str(row) for row in (part.instance for part in formset.deleted_forms) if row.pk}
        super().save_formset(request, form, formset, change)
        for row in formset.new_objects:
            part = next(part for part in formset.extra_forms if part.instance is row)
            self._record(request, "create", row, form, after=_told(part, part.changed_data, part.cleaned_data))
        for row, names in formset.changed_objects:
            part = edited[row.pk]
            self._record(request, "update", row, form, before=_told(part, names, part.initial),
                         after=_told(part, names, part.cleaned_data))
        for row, name in zip(formset.deleted_objects, gone.values(), strict=False):
            self._record(request, "delete", row, form, before={"row": name})

    def _record(self, request: HttpRequest, verb: str, row: models.Model, form: BaseForm, **told: dict[str, Any]) -> None:
        """A row of an inline: told of the row that it belongs to."""
        audit.record(f"{row._meta.model_name}.{verb}", form.instance, actor=request.user, **told)

    def record(self, row: models.Model, actor: Any, **told: dict[str, Any]) -> None:
        """For acts on catalogue rows."""
        audit.record(f"{row._meta.model_name}.update", row, actor=actor, **told)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        audit.record(f"{obj._meta.model_name}.delete", obj, actor=request.user, before={"name": str(obj)})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


class CatalogueAdmin(AuditedAdmin):
    """What others point at is retired, not deleted. Never deleted in bulk."""

    def is_used(self, obj: models.Model) -> bool:
        """Whether any row points at it; looked up once for each time that it was read."""
        if "_is_used" not in obj.__dict__:
            obj._is_used = self._has_others(obj)
        return obj._is_used

    def _has_others(self, obj: models.Model) -> bool:
        others = [field for field in obj._meta.get_fields(include_hidden=True) if field.auto_created and not field.concrete]
        return any(other.related_model._base_manager.filter(**{other.field.name: obj}).exists() for other in others)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and super().has_delete_permission(request, obj) and not self.is_used(obj)


class ReadOnlyAdmin(OperatorsActions):
    """Everything can be found, nothing can be changed by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


def _told(form: BaseForm, names: Iterable[str], values: dict[str, Any]) -> dict[str, Any]:
    """The named values as the trail tells them: rows by their names, not by their keys."""
    return {name: _plain(form.fields[name], values.get(name)) for name in names if name in form.fields}


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, (models.QuerySet, list, tuple, set)):
        return sorted(str(one) for one in value)
    if value and not isinstance(value, models.Model) and isinstance(getattr(field, "queryset", None), models.QuerySet):
        return str(field.queryset.filter(pk=value).first() or value)
    return str(value) if isinstance(value, models.Model) else value
