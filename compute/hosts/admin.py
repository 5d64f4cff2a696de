"""Hosts in admin: what one has, taking it out of service, and the details of how it is reached. Adding one is storage's."""
from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from compute.hosts import operations
from compute.hosts.models import Claim, Discovered, Endpoint, Host, SshIdentity, Verdict
from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin


class EndpointForm(forms.ModelForm):
    """The stored key is never shown again; an empty field keeps it."""

    private_key = forms.CharField(required=False, strip=False, widget=UnfoldAdminTextareaWidget,
                                  label=_("private SSH key"), help_text=_("Leave empty to keep the stored one."))

    class Meta:
        model = Endpoint
        fields = ("name", "driver", "uri", "private_key", "host_key", "mode")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.stored_key = self.instance.private_key if self.instance.pk else ""
        self.initial["private_key"] = ""

    def clean_private_key(self) -> str:
        return self.cleaned_data["private_key"] or self.stored_key


@admin.register(SshIdentity)
class SshIdentityAdmin(ReadOnlyAdmin):
    """Made by the portal itself; its private part is shown to nobody."""

    list_display = ("region", "public_key", "created_at")
    list_select_related = ("region",)
    fields = ("region", "public_key", "created_at")


@admin.register(Endpoint)
class EndpointAdmin(AuditedAdmin):
    form = EndpointForm
    list_display = ("name", "driver", "uri", "mode", "host_key_fingerprint")
    search_fields = ("name", "uri")


class HostAdmin(AuditedAdmin):
    """Registered by storage, with the form that adds one."""

    list_display = ("name", "zone", "state", "health", "is_in_maintenance", "is_accelerated", "vcpus", "memory_mib", "chassis",
                    "last_seen_at")
    list_filter = ("state", "health", "region", "zone")
    search_fields = ("provider__name", "hostname", "chassis")
    list_select_related = ("zone", "region", "endpoint")
    autocomplete_fields = ("region", "zone", "endpoint")
    fields = ("name", "region", "zone", "endpoint", "reserved_memory_mib", "vcpu_ratio", "state", "state_reason", "health",
              "health_text", "last_seen_at", "is_in_maintenance", "hostname", "host_uuid", "architecture", "hypervisor",
              "programs", "is_accelerated", "vcpus", "memory_mib", "claimed", "chassis", "datapath", "is_gateway")
    readonly_fields = ("state", "state_reason", "health", "health_text", "last_seen_at", "is_in_maintenance", "hostname",
                       "host_uuid", "architecture", "hypervisor", "programs", "is_accelerated", "vcpus", "memory_mib",
                       "claimed", "chassis", "datapath", "is_gateway")
    actions = ("prepare", "enter_maintenance", "leave_maintenance")

    @admin.display(description=_("Versions"))
    def programs(self, host: Host) -> str:
        return " · ".join(f"{name} {version}" for name, version in host.versions.items() if version)

    @admin.display(description=_("Claimed of capacity"))
    def claimed(self, host: Host) -> str:
        used: dict[str, int] = {}
        for row in Claim.objects.filter(provider=host):
            used[row.resource_class] = used.get(row.resource_class, 0) + row.amount
        return " · ".join(f"{name}: {used.get(name, 0)} / {total}" for name, total in host.capacity.items())

    @admin.action(description=_("Prepare again"))
    def prepare(self, request: HttpRequest, queryset) -> None:
        for host in queryset:
            operations.prepare_host(host, actor=request.user)

    @admin.action(description=_("Take no new instances"))
    def enter_maintenance(self, request: HttpRequest, queryset) -> None:
        for host in queryset:
            operations.set_maintenance(host, True, actor=request.user)

    @admin.action(description=_("Take new instances again"))
    def leave_maintenance(self, request: HttpRequest, queryset) -> None:
        for host in queryset:
            operations.set_maintenance(host, False, actor=request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Host | None = None) -> bool:
        return obj is not None and not Claim.objects.filter(provider=obj).exists()


@admin.register(Discovered)
class DiscoveredAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "host", "first_seen_at", "last_seen_at")
    list_filter = ("kind",)
    search_fields = ("name", "key")
    list_select_related = ("host",)


@admin.register(Verdict)
class VerdictAdmin(ReadOnlyAdmin):
    list_display = ("consumer", "host", "is_chosen", "weight", "reason", "at")
    list_filter = ("is_chosen", "reason")
    search_fields = ("consumer__name", "consumer__id")
    list_select_related = ("consumer", "host")
