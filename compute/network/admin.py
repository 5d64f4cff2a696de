"""Networks in admin: fabrics and address pools are set up, what tenants made is read."""
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
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
    Vpc,
)
from compute.network.models.cidr import CidrField
from compute.network.reconcile import reconcile_fabric
from portal.kernel import audit
from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin
from portal.kernel.errors import PortalError

CERTIFICATES = ("ca_certificate", "certificate")


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
    list_display = ("region", "driver", "uri", "health", "health_reason", "last_seen_at")
    list_filter = ("driver", "health")
    search_fields = ("region__name", "uri")
    list_select_related = ("region",)
    autocomplete_fields = ("region",)
    readonly_fields = ("deployment", "health", "health_reason", "last_seen_at")
    fields = (*FabricForm.Meta.fields, *readonly_fields)
    actions = ("compare",)

    def get_readonly_fields(self, request: HttpRequest, obj: Fabric | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(("region",) if obj else ()))  # the region is its key

    def has_delete_permission(self, request: HttpRequest, obj: Fabric | None = None) -> bool:
        return obj is not None and not Vpc.objects.live().filter(region=obj.region_id).exists()

    @admin.action(description=_("Compare now, and mend what differs"))
    def compare(self, request: HttpRequest, queryset) -> None:
        for row in queryset.select_related("region"):
            audit.record("fabric.compare", row, actor=request.user)
            try:
                reconcile_fabric(row)
            except PortalError as error:
                messages.error(request, f"{row.region}: {error.detail}")
                continue
            row.refresh_from_db(fields=["health", "health_reason"])
            say = messages.success if row.health == Fabric.Health.UP else messages.error
            say(request, f"{row.region}: {row.get_health_display()} {row.health_reason}".strip())


@admin.register(AddressPool)
class AddressPoolAdmin(AuditedAdmin):
    list_display = ("name", "slug", "region", "cidr", "gateway", "first", "last", "physical_network", "is_open", "used")
    list_filter = ("region", "is_open")
    search_fields = ("name", "slug")
    list_select_related = ("region",)
    autocomplete_fields = ("region",)
    formfield_overrides = {CidrField: {"widget": UnfoldAdminTextInputWidget}}

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).with_use()

    @admin.display(description=_("in use"))
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
    list_filter = ("pool", "resource__kind")
    search_fields = ("address", "resource__name", "resource__id")
    list_select_related = ("pool", "resource")

    @admin.display(description=_("kind"), ordering="resource__kind")
    def kind(self, allocation: Allocation) -> str:
        return str(allocation.resource.declared.label)


@admin.register(Vpc)
class VpcAdmin(ReadOnlyAdmin):
    list_display = ("name", "cidr", "project", "region", "is_default", "revision", "applied_revision", "fault", "created_at",
                    "deleted_at")
    list_filter = ("region", "is_default", "fault")
    search_fields = ("name", "id", "project__name")
    list_select_related = ("project", "region")


@admin.register(Subnet)
class SubnetAdmin(ReadOnlyAdmin):
    list_display = ("name", "cidr", "gateway", "dhcp", "vpc", "project", "created_at", "deleted_at")
    list_filter = ("region", "dhcp")
    search_fields = ("name", "id", "project__name", "vpc__name")
    list_select_related = ("vpc", "project")


@admin.register(Port)
class PortAdmin(ReadOnlyAdmin):
    list_display = ("name", "mac", "ip", "subnet", "domain", "is_up", "project", "created_at", "deleted_at")
    list_filter = ("region", "is_up")
    search_fields = ("name", "id", "mac", "ip", "domain", "project__name")
    list_select_related = ("subnet", "project")


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


@admin.register(SecurityGroup)
class SecurityGroupAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "region", "is_default", "created_at", "deleted_at")
    list_filter = ("region", "is_default")
    search_fields = ("name", "id", "project__name")
    list_select_related = ("project", "region")
    inlines = (RuleInline,)


@admin.register(FloatingIp)
class FloatingIpAdmin(ReadOnlyAdmin):
    list_display = ("name", "address", "state", "pool", "port", "project", "created_at", "deleted_at")
    list_filter = ("state", "pool")
    search_fields = ("name", "id", "allocation__address", "project__name")
    list_select_related = ("allocation", "pool", "port", "project")
