"""Networks in admin: fabrics and address pools are set up, what tenants made is read."""
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from compute.network.models import (
    AddressPool,
    Allocation,
    Fabric,
    FloatingIp,
    Port,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    TrafficCount,
    Vpc,
)
from compute.network.models.cidr import CidrField
from compute.network.operations import delete_group, delete_port, delete_subnet, delete_vpc, disassociate, release
from compute.network.reconcile import reconcile_fabric
from portal.kernel import audit
from portal.kernel.admin import ALREADY, AuditedAdmin, CatalogueAdmin, ReadOnlyAdmin, Trouble, act
from portal.kernel.admin.columns import LiveFilter, resource_kind, toned

CERTIFICATES = ("ca_certificate", "certificate")
HEALTH_TONES = {Fabric.Health.UNKNOWN: "off", Fabric.Health.UP: "ok", Fabric.Health.UNREACHABLE: "bad"}
OF_PROJECT = (LiveFilter, ("region", RelatedDropdownFilter), ("project", AutocompleteSelectFilter))
GONE = _("What is deleted does not come back.")


class FabricForm(forms.ModelForm):
    """The stored key is never shown again; an empty field keeps it."""

    private_key = forms.CharField(required=False, strip=False, widget=UnfoldAdminTextareaWidget,
                                  label=_("private key"), help_text=_("Leave empty to keep the stored one."))

    class Meta:
        model = Fabric
        fields = ("region", "driver", "uri", *CERTIFICATES, "private_key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # `pk` is the region's, which an unsaved one may have been given too.
        self.stored_key = "" if self.instance._state.adding else self.instance.private_key
        self.initial["private_key"] = ""

    def clean_private_key(self) -> str:
        return self.cleaned_data["private_key"] or self.stored_key


@admin.register(Fabric)
class FabricAdmin(AuditedAdmin):
    form = FabricForm
    list_display = ("region", "driver", "uri", "health_now", "health_reason", "last_seen_at")
    list_filter = ("driver", ("health", ChoicesDropdownFilter))
    search_fields = ("region__name", "uri")
    list_select_related = ("region",)
    autocomplete_fields = ("region",)
    readonly_fields = ("deployment", "health", "health_reason", "last_seen_at")
    fields = (*FabricForm.Meta.fields, *readonly_fields)
    actions = ("compare",)
    health_now = toned("health", description=_("health"), tones=HEALTH_TONES)

    def get_readonly_fields(self, request: HttpRequest, obj: Fabric | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(("region",) if obj else ()))  # the region is its key

    def has_delete_permission(self, request: HttpRequest, obj: Fabric | None = None) -> bool:
        return obj is not None and not Vpc.objects.live().filter(region=obj.region_id).exists()

    @act(_("Compare now, and mend what differs"))
    def compare(self, row: Fabric, actor) -> str:
        audit.record("fabric.compare", row, actor=actor)
        reconcile_fabric(row)
        row.refresh_from_db(fields=["health", "health_reason"])
        said = f"{row.get_health_display()} {row.health_reason}".strip()
        return said if row.health == Fabric.Health.UP else Trouble(said)

    def name_of(self, row: Fabric) -> str:
        return row.region.name


@admin.register(AddressPool)
class AddressPoolAdmin(CatalogueAdmin):
    list_display = ("name", "slug", "region", "cidr", "range", "physical_network", "used", "is_open")
    list_filter = (("region", RelatedDropdownFilter), "is_open")
    actions = ("close", "reopen")
    search_fields = ("name", "slug")
    list_select_related = ("region",)
    autocomplete_fields = ("region",)
    formfield_overrides = {CidrField: {"widget": UnfoldAdminTextInputWidget}}

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).with_use()

    @display(description=_("range"), ordering="first")
    def range(self, pool: AddressPool) -> str:
        return f"{pool.first} – {pool.last}"

    @act(_("Give out no more addresses"), why_not=lambda row: "" if row.is_open else ALREADY)
    def close(self, row: AddressPool, actor) -> None:
        self._set_open(row, False, actor)

    @act(_("Give out addresses again"), why_not=lambda row: ALREADY if row.is_open else "")
    def reopen(self, row: AddressPool, actor) -> None:
        self._set_open(row, True, actor)

    def _set_open(self, row: AddressPool, wanted: bool, actor) -> None:
        AddressPool.objects.filter(pk=row.pk).update(is_open=wanted)
        self.record(row, actor, before={"is_open": row.is_open}, after={"is_open": wanted})

    @display(description=_("in use"), ordering="used")
    def used(self, pool: AddressPool) -> str:
        return f"{pool.used} / {pool.size}"

    def get_readonly_fields(self, request: HttpRequest, obj: AddressPool | None = None) -> tuple[str, ...]:
        # The price book knows the slug, and addresses that were given out stay in the network that they are of.
        return ("region", "slug", "cidr") if obj is not None and obj.used else ("slug",) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: AddressPool, form, change: bool) -> None:
        if change:
            obj.revision += 1  # the fabric follows with the next comparison
        super().save_model(request, obj, form, change)


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    list_display = ("address", "pool", "kind", "resource")
    list_filter = (("pool", RelatedDropdownFilter),)
    search_fields = ("address", "resource__name")
    identifiers = ("resource_id",)
    list_select_related = ("pool", "resource")
    ordering = ("address",)

    @display(description=_("kind"), ordering="resource__kind")
    def kind(self, allocation: Allocation) -> str:
        return resource_kind(allocation.resource.kind)


@admin.register(TrafficCount)
class TrafficCountAdmin(ReadOnlyAdmin):
    """Written by what counts on the hosts; each one's number is the epoch of its address's counter."""

    list_display = ("address", "floating_ip", "host", "bytes_out", "seen_at", "began_at", "ended_at")
    list_filter = (("host", RelatedDropdownFilter), ("ended_at", EmptyFieldListFilter))
    search_fields = ("address", "floating_ip__name")
    identifiers = ("floating_ip_id",)
    list_select_related = ("host", "floating_ip")
    ordering = ("-pk",)


@admin.register(Vpc)
class VpcAdmin(ReadOnlyAdmin):
    list_display = ("name", "cidr", "project", "region", "is_default", "in_the_fabric", "created_at", "deleted_at")
    list_filter = (*OF_PROJECT, "is_default")
    search_fields = ("name",)
    list_select_related = ("project", "region")
    ordering = ("-created_at", "-id")
    actions = ("delete",)

    @display(description=_("in the fabric"), label={"yes": "success", "late": "info", "fault": "danger"})
    def in_the_fabric(self, vpc: Vpc) -> tuple[str, Any]:
        if vpc.fault:
            return "fault", _("Fault")
        return ("yes", _("As planned")) if vpc.applied_revision >= vpc.revision else ("late", _("Follows"))

    @act(_("Delete with its subnets"), confirm=GONE)
    def delete(self, row: Vpc, actor) -> None:
        delete_vpc(row, actor=actor)


@admin.register(Subnet)
class SubnetAdmin(ReadOnlyAdmin):
    list_display = ("name", "cidr", "gateway", "dhcp", "vpc", "project", "created_at", "deleted_at")
    list_filter = (*OF_PROJECT, "dhcp")
    search_fields = ("name", "vpc__name")
    list_select_related = ("vpc", "project")
    ordering = ("-created_at", "-id")
    actions = ("delete",)

    @act(_("Delete"), confirm=GONE)
    def delete(self, row: Subnet, actor) -> None:
        delete_subnet(row, actor=actor)


@admin.register(Port)
class PortAdmin(ReadOnlyAdmin):
    list_display = ("name", "mac", "ip", "subnet", "is_up", "project", "created_at", "deleted_at")
    list_filter = (*OF_PROJECT, "is_up")
    search_fields = ("name", "mac", "ip")
    identifiers = ("pk", "domain")
    list_select_related = ("subnet", "project")
    ordering = ("-created_at", "-id")
    actions = ("delete",)

    @act(_("Delete"), confirm=GONE)
    def delete(self, row: Port, actor) -> None:
        delete_port(row, actor=actor)


class RuleInline(TabularInline):
    model = SecurityGroupRule
    fk_name = "group"
    fields = ("direction", "protocol", "port_min", "port_max", "remote_cidr", "remote_group", "description")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Who sees the group sees what it lets through."""
        return True


@admin.register(SecurityGroup)
class SecurityGroupAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "region", "is_default", "created_at", "deleted_at")
    list_filter = (*OF_PROJECT, "is_default")
    search_fields = ("name",)
    list_select_related = ("project", "region")
    ordering = ("-created_at", "-id")
    inlines = (RuleInline,)
    actions = ("delete",)

    @act(_("Delete"), confirm=GONE)
    def delete(self, row: SecurityGroup, actor) -> None:
        delete_group(row, actor=actor)


@admin.register(FloatingIp)
class FloatingIpAdmin(ReadOnlyAdmin):
    list_display = ("name", "given_address", "state_now", "pool", "port", "project", "created_at", "deleted_at")
    list_filter = (("state", ChoicesDropdownFilter), ("pool", RelatedDropdownFilter), *OF_PROJECT)
    search_fields = ("name", "allocation__address")
    list_select_related = ("allocation", "pool", "port", "project")
    ordering = ("-created_at", "-id")
    actions = ("take_off", "give_back")
    state_now = toned()

    @display(description=_("address"), ordering="allocation__address")
    def given_address(self, row: FloatingIp) -> str | None:
        return row.address

    @act(_("Disassociate"), confirm=_("Connections through the address end."))
    def take_off(self, row: FloatingIp, actor) -> None:
        disassociate(row, actor=actor)

    @act(_("Release"), confirm=_("The address goes back to its pool; somebody else may get it."))
    def give_back(self, row: FloatingIp, actor) -> None:
        release(row, actor=actor)
