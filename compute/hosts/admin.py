"""Hosts in admin: what one has, taking it out of service, and the details of how it is reached. Adding one is storage's."""
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from compute.hosts import operations
from compute.hosts.models import Claim, Discovered, Endpoint, Host, SshIdentity
from portal.kernel.admin import ALREADY, AuditedAdmin, CatalogueAdmin, ReadOnlyAdmin, act
from portal.kernel.admin.columns import resource_kind, size_text, sized, toned

MIB = 1024**2
CLASSES = {"vcpu": _("vCPUs"), "memory_mib": _("memory")}


def amount_text(resource_class: str, amount: int) -> str:
    """So much of a class as people say it."""
    return size_text(amount * MIB) if resource_class == "memory_mib" else str(amount)


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
    search_fields = ("region__name",)
    list_select_related = ("region",)
    fields = ("region", "public_key", "created_at")


@admin.register(Endpoint)
class EndpointAdmin(AuditedAdmin):
    form = EndpointForm
    list_display = ("name", "driver", "uri", "mode", "host_key_fingerprint")
    list_filter = ("driver", "mode")
    search_fields = ("name", "uri")

    @display(description=_("host key"))
    def host_key_fingerprint(self, endpoint: Endpoint) -> str:
        return endpoint.host_key_fingerprint


class HostAdmin(CatalogueAdmin):
    """Registered by storage, with the form that adds one."""

    list_display = ("name", "zone", "state_now", "health_now", "takes_new", "vcpus", "memory", "chassis", "last_seen_at")
    list_filter = (("state", ChoicesDropdownFilter), ("health", ChoicesDropdownFilter), "is_in_maintenance",
                   ("region", RelatedDropdownFilter), ("zone", RelatedDropdownFilter))
    search_fields = ("provider__name", "hostname", "chassis")
    list_select_related = page_related = ("zone", "region", "endpoint")
    ordering = ("name",)
    autocomplete_fields = ("region", "zone", "endpoint")
    fields = ("name", "region", "zone", "endpoint", "reserved_memory_mib", "vcpu_ratio", "state", "state_reason", "health",
              "health_text", "last_seen_at", "is_in_maintenance", "hostname", "host_uuid", "architecture", "hypervisor",
              "programs", "is_accelerated", "vcpus", "memory", "claimed", "chassis", "datapath", "is_gateway")
    readonly_fields = ("region", "zone", "endpoint", "state", "state_reason", "health", "health_text", "last_seen_at",
                       "is_in_maintenance", "hostname", "host_uuid", "architecture", "hypervisor", "programs",
                       "is_accelerated", "vcpus", "memory", "claimed", "chassis", "datapath", "is_gateway")
    actions = ("prepare", "enter_maintenance", "leave_maintenance")
    state_now = toned()
    health_now = toned("health", description=_("health"), tones=Host.HEALTH_TONES)
    memory = sized("memory_mib", description=_("memory"), unit=MIB)

    @display(description=_("new instances"), ordering="is_in_maintenance", label={"yes": "success", "no": "warning"})
    def takes_new(self, host: Host) -> tuple[str, Any]:
        return ("no", _("Maintenance")) if host.is_in_maintenance else ("yes", _("Takes new ones"))

    @display(description=_("state reason"))
    def state_reason(self, host: Host) -> str:
        return host.state_reason

    @display(description=_("health reason"))
    def health_text(self, host: Host) -> str:
        return host.health_text

    @display(description=_("Versions"))
    def programs(self, host: Host) -> str:
        return " · ".join(f"{name} {version}" for name, version in host.versions.items() if version)

    @display(description=_("Claimed of capacity"))
    def claimed(self, host: Host) -> str:
        if "_used" not in host.__dict__:  # asked several times for one page
            rows = Claim.objects.filter(provider=host).values_list("resource_class").order_by()
            host._used = dict(rows.annotate(total=Sum("amount")))
        used = host._used
        return " · ".join(f"{CLASSES.get(name, name)}: {amount_text(name, used.get(name, 0))} / {amount_text(name, total)}"
                          for name, total in host.capacity.items())

    @act(_("Prepare again"))
    def prepare(self, host: Host, actor) -> None:
        operations.prepare_host(host, actor=actor)

    @act(_("Take no new instances"), why_not=lambda host: ALREADY if host.is_in_maintenance else "")
    def enter_maintenance(self, host: Host, actor) -> None:
        operations.set_maintenance(host, True, actor=actor)

    @act(_("Take new instances again"), why_not=lambda host: "" if host.is_in_maintenance else ALREADY)
    def leave_maintenance(self, host: Host, actor) -> None:
        operations.set_maintenance(host, False, actor=actor)

    def has_delete_permission(self, request: HttpRequest, obj: Host | None = None) -> bool:
        return False  # a host has a chassis, pools and files: taking it away is a verb


@admin.register(Claim)
class ClaimAdmin(ReadOnlyAdmin):
    """What of which host is taken by what."""

    list_display = ("provider", "class_word", "amount_word", "consumer", "kind_word")
    list_filter = (("provider", RelatedDropdownFilter),)
    search_fields = ("provider__name", "consumer__name")
    identifiers = ("provider_id", "consumer_id")
    list_select_related = ("provider", "consumer")
    ordering = ("-pk",)
    fields = readonly_fields = ("provider", "consumer", "kind_word", "class_word", "amount_word")

    def name_of(self, row: Claim) -> str:
        return f"{row.provider} – {row.consumer}"

    @display(description=_("of"), ordering="resource_class")
    def class_word(self, claim: Claim) -> Any:
        return CLASSES.get(claim.resource_class, claim.resource_class)

    @display(description=_("amount"), ordering="amount")
    def amount_word(self, claim: Claim) -> str:
        return amount_text(claim.resource_class, claim.amount)

    @display(description=_("kind"))
    def kind_word(self, claim: Claim) -> str:
        return resource_kind(claim.consumer.kind)


@admin.register(Discovered)
class DiscoveredAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "host", "first_seen_at", "last_seen_at")
    list_filter = (("host", AutocompleteSelectFilter),)
    search_fields = ("name", "key")
    list_select_related = ("host",)
    ordering = ("-last_seen_at",)
