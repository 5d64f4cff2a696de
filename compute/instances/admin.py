"""Instances in admin: types are catalogue; instances and keys are read, and acted on through the verbs."""
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from compute.hosts.models import Verdict
from compute.instances import guarding
from compute.instances.classes import OF_CLASS
from compute.instances.launch_templates.admin import LaunchTemplateAdmin
from compute.instances.models import HEAVY, Instance, InstanceType, SshKey
from compute.instances.operations import act as operate
from compute.instances.rescuing import default_image
from compute.instances.schedules.admin import InstanceScheduleAdmin
from compute.instances.snapshots.admin import SnapshotAdmin
from compute.instances.verbs import VERBS
from compute.instances.wording import EXPECTED, OBSERVED, REASONS
from portal.kernel.admin import ALREADY, CatalogueAdmin, ReadOnlyAdmin, act
from portal.kernel.admin.columns import LiveFilter, sized, toned

__all__ = ["InstanceAdmin", "InstanceScheduleAdmin", "InstanceTypeAdmin", "LaunchTemplateAdmin", "SnapshotAdmin",
           "SshKeyAdmin", "VerdictAdmin"]
MIB = 1024**2
OF_CUSTOM = ("max_vcpus", "max_memory_mib", "vcpus_step", "memory_step_mib")


@admin.register(InstanceType)
class InstanceTypeAdmin(CatalogueAdmin):
    list_display = ("name", "slug", "vcpus", "memory", "root_disk_gib", "firmware", "io_class", "is_offered", "is_restricted")
    list_filter = ("is_offered", "is_restricted", "firmware", "io_class")
    autocomplete_fields = ("organizations",)
    search_fields = ("name", "slug")
    actions = ("retire", "offer")
    memory = sized("memory_mib", description=_("memory"), unit=MIB)

    def get_readonly_fields(self, request: HttpRequest, obj: InstanceType | None = None) -> tuple[str, ...]:
        # What was sold stays what it was.
        return ("slug", "vcpus", "memory_mib", *OF_CUSTOM, *OF_CLASS) if obj is not None and self.is_used(obj) else ()

    @act(_("Retire: offer it no more"), why_not=lambda row: "" if row.is_offered else ALREADY)
    def retire(self, row: InstanceType, actor) -> None:
        self._offer(row, False, actor)

    @act(_("Offer it again"), why_not=lambda row: ALREADY if row.is_offered else "")
    def offer(self, row: InstanceType, actor) -> None:
        self._offer(row, True, actor)

    def _offer(self, row: InstanceType, wanted: bool, actor) -> None:
        InstanceType.objects.filter(pk=row.pk).update(is_offered=wanted)
        self.record(row, actor, before={"is_offered": row.is_offered}, after={"is_offered": wanted})


def _verb(name: str, *, force: bool = False, wishes: Callable[[Instance, Any], dict[str, Any]] = lambda row, actor: {}) -> Any:
    """The verb of the table as an act: the same prerequisites, holds and audit as a tenant's."""
    verb = VERBS[name]
    label = _("Cut the power") if force else verb.label
    confirm = _("The power is cut at once; the guest may lose what it has not written.") if force else verb.confirm

    @act(label, confirm=confirm, why_not=verb.why_not)
    def begin(_admin: Any, row: Instance, actor) -> str:
        operate(row, name, actor=actor, force=force, **wishes(row, actor))
        return str(_("%(verb)s has begun.") % {"verb": label})
    return begin


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = ("name", "state_now", "on_the_host", "guards", "type", "host", "project", "created_at", "deleted_at")
    list_filter = (("state", ChoicesDropdownFilter), LiveFilter, ("zone", RelatedDropdownFilter),
                   ("type", RelatedDropdownFilter), ("host", AutocompleteSelectFilter), ("project", AutocompleteSelectFilter))
    search_fields = ("name",)
    list_select_related = ("type", "host__endpoint", "project", "locked_by")
    ordering = ("-created_at", "-id")
    exclude = ("vnc_password", "user_data", "next_user_data", "password_hash", "next_password_hash")
    actions = ("start", "stop", "power_off", "reboot", "pause", "suspend", "resume", "rescue", "unrescue", "rebuild",
               "restore", "delete", "purge", "lock", "unlock", "protect", "unprotect")
    state_now = toned()
    start, stop, power_off, reboot = _verb("start"), _verb("stop"), _verb("stop", force=True), _verb("reboot")
    pause, suspend, resume = _verb("pause"), _verb("suspend"), _verb("resume")
    rescue = _verb("rescue", wishes=lambda row, actor: {"image": default_image(actor, row)})
    unrescue, rebuild = _verb("unrescue"), _verb("rebuild", wishes=lambda row, actor: {"image": row.image})
    restore, delete, purge = _verb("restore"), _verb("delete"), _verb("purge")

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).defer(*HEAVY)

    @display(description=_("guards"), label={"locked": "warning", "protected": "info"})
    def guards(self, instance: Instance) -> tuple[str, str] | str:
        if instance.locked_at is not None:
            return "locked", str(_("locked"))
        return ("protected", str(_("protected"))) if instance.is_protected else ""

    @act(_("Lock"), confirm=_("No verb is done to it until operators unlock it; tenants cannot."),
         why_not=lambda row: ALREADY if row.is_locked_by_operator else "")
    def lock(self, row: Instance, actor) -> None:
        guarding.lock(row, actor=actor)

    @act(_("Unlock"), why_not=lambda row: ALREADY if row.locked_at is None else "")
    def unlock(self, row: Instance, actor) -> None:
        guarding.unlock(row, actor=actor)

    @act(_("Protect against deletion"), why_not=lambda row: ALREADY if row.is_protected else "")
    def protect(self, row: Instance, actor) -> None:
        guarding.protect(row, actor=actor)

    @act(_("Let it be deleted"), why_not=lambda row: "" if row.is_protected else ALREADY)
    def unprotect(self, row: Instance, actor) -> None:
        guarding.protect(row, actor=actor, is_protected=False)

    @display(description=_("on the host"), ordering="observed_state",
             label={"running": "success", "paused": "warning", "suspended": "default", "off": "default"})
    def on_the_host(self, instance: Instance) -> tuple[str, str] | str:
        seen = instance.observed_state
        return (seen if seen in EXPECTED.values() else "off", str(OBSERVED.get(seen, seen))) if seen else ""


@admin.register(SshKey)
class SshKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "fingerprint", "project", "created_at", "deleted_at")
    list_filter = (LiveFilter, ("project", AutocompleteSelectFilter))
    search_fields = ("name", "fingerprint")
    list_select_related = ("project",)
    ordering = ("-created_at", "-id")


@admin.register(Verdict)
class VerdictAdmin(ReadOnlyAdmin):
    """Here for the words of placement's reasons, which tenants read too."""

    list_display = ("consumer", "host", "is_chosen", "weight", "why", "at")
    list_filter = ("is_chosen", ("host", AutocompleteSelectFilter))
    search_fields = ("consumer__name",)
    identifiers = ("consumer_id", "host_id")
    list_select_related = ("consumer", "host")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Verdict]:
        return super().get_queryset(request).defer("facts")

    def name_of(self, row: Verdict) -> str:
        return f"{row.host} – {row.consumer}"

    @display(description=_("reason"), ordering="reason")
    def why(self, verdict: Verdict) -> str:
        return str(REASONS.get(verdict.reason, verdict.reason))
