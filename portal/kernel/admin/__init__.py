"""The kernel in admin: regions and zones are edited; resources, holds and the audit trail are only read. Operations, which
are explained with what the rooms know, are in `portal.admin`.
"""
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import display

from portal.kernel.admin.bases import (
    AuditedAdmin,
    CatalogueAdmin,
    OperatorsActions,
    ReadOnlyAdmin,
    Trouble,
    act,
)
from portal.kernel.admin.columns import (
    RESULTS,
    LiveFilter,
    ResourceKindFilter,
    ResultFilter,
    TargetFilter,
    operation_kind,
    resource_kind,
)
from portal.kernel.models import AuditChain, AuditEvent, Hold, Region, Resource, Zone

ALREADY = _("It is so already.")

__all__ = ["ALREADY", "AuditedAdmin", "CatalogueAdmin", "OperatorsActions", "ReadOnlyAdmin", "Trouble", "act"]


class OpenableAdmin(CatalogueAdmin):
    """Closed to new resources instead of deleted."""

    actions = ("close", "reopen")

    @act(_("Take no new resources"), why_not=lambda row: "" if row.is_open else ALREADY)
    def close(self, row: Region | Zone, actor) -> None:
        self._set_open(row, False, actor)

    @act(_("Take new resources again"), why_not=lambda row: ALREADY if row.is_open else "")
    def reopen(self, row: Region | Zone, actor) -> None:
        self._set_open(row, True, actor)

    def _set_open(self, row: Region | Zone, wanted: bool, actor) -> None:
        type(row).objects.filter(pk=row.pk).update(is_open=wanted)
        self.record(row, actor, before={"is_open": row.is_open}, after={"is_open": wanted})


@admin.register(Region)
class RegionAdmin(OpenableAdmin):
    list_display = ("name", "slug", "is_open")
    list_filter = ("is_open",)
    search_fields = ("name", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()  # the region's queue is named by it


@admin.register(Zone)
class ZoneAdmin(OpenableAdmin):
    list_display = ("name", "slug", "region", "is_open")
    list_filter = ("region", "is_open")
    search_fields = ("name", "slug", "region__name")
    list_select_related = ("region",)
    autocomplete_fields = ("region",)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return ("region", "slug") if obj else ()  # what is in it does not move with it


@admin.register(Resource)
class ResourceAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind_word", "project", "region", "created_at", "deleted_at")
    list_filter = (ResourceKindFilter, ("region", RelatedDropdownFilter), LiveFilter, ("project", AutocompleteSelectFilter))
    search_fields = ("name",)
    list_select_related = ("project", "region")
    ordering = ("-created_at", "-id")

    @display(description=_("kind"), ordering="kind")
    def kind_word(self, resource: Resource) -> str:
        return resource_kind(resource.kind)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    """What live operations keep others from changing."""

    list_display = ("resource", "kind_word", "operation_word", "since")
    search_fields = ("resource__name",)
    identifiers = ("resource_id", "operation_id")
    list_select_related = ("resource", "operation")
    ordering = ("operation__created_at",)

    @display(description=_("kind"))
    def kind_word(self, hold: Hold) -> str:
        return resource_kind(hold.resource.kind)

    @display(description=_("operation"))
    def operation_word(self, hold: Hold) -> str:
        return operation_kind(hold.operation.kind)

    @display(description=_("since"), ordering="operation__created_at")
    def since(self, hold: Hold):
        return hold.operation.created_at


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "action", "target_name", "actor", "project", "address", "outcome")
    list_filter = (TargetFilter, ResultFilter, ("actor", AutocompleteSelectFilter), ("project", AutocompleteSelectFilter))
    search_fields = ("target_name", "actor__username", "action")
    identifiers = ("pk", "target_id", "operation_id")
    list_select_related = ("actor", "project")
    ordering = ("-at",)
    fields = ("at", "action", "result", "actor", "on_behalf_of", "api_key", "address", "request_id", "route", "organization",
              "project", "resource", "target_type", "target_id", "target_name", "operation", "changes", "chain", "sequence",
              "hash_text")
    readonly_fields = fields

    @display(description=_("result"), ordering="result", label={"ok": "success", "refused": "danger"})
    def outcome(self, event: AuditEvent) -> tuple[str, Any]:
        return event.result, RESULTS.get(event.result, event.result)

    def name_of(self, row: AuditEvent) -> str:
        return f"{row.action} {row.target_name}"

    @display(description=_("hash"))
    def hash_text(self, event: AuditEvent) -> str:
        return event.hash_text

    @display(description=_("before and after"))
    def changes(self, event: AuditEvent) -> str:
        before, after = event.before or {}, event.after or {}
        return format_html_join("", "<div><code>{}</code>: {} → {}</div>", (
            (name, _word(before, name), _word(after, name)) for name in sorted({*before, *after})))


@admin.register(AuditChain)
class AuditChainAdmin(ReadOnlyAdmin):
    """How far the audit trail of each organization, and of the site, is sealed and verified."""

    list_display = ("name_of", "sequence", "sealed_at", "forgotten", "verified", "verified_at", "state")
    list_filter = (("organization", AutocompleteSelectFilter),)
    search_fields = ("organization__name",)
    identifiers = ("pk", "organization_id")
    list_select_related = ("organization",)
    ordering = ("organization__name", "pk")
    fields = ("organization", "sequence", "hash_text", "sealed_at", "forgotten", "verified", "verified_at", "state",
              "fault_sequence")
    readonly_fields = fields

    @display(description=_("chain"), ordering="organization__name")
    def name_of(self, row: AuditChain) -> str:
        return row.organization.name if row.organization else str(_("the site"))

    @display(description=_("hash"))
    def hash_text(self, row: AuditChain) -> str:
        return bytes(row.hash).hex()

    @display(description=_("state"), ordering="fault", label={"whole": "success", "unknown": "default", "bad": "danger"})
    def state(self, row: AuditChain) -> tuple[str, Any]:
        if row.fault:
            return "bad", row.get_fault_display()
        return ("whole", _("whole")) if row.verified_at else ("unknown", _("not verified yet"))


def _word(values: dict, name: str) -> str:
    value = values.get(name)
    return "–" if value in (None, "", []) else str(value)
