"""Instances in admin: types are catalogue; instances and keys are read, and acted on through the verbs."""
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance, InstanceType, SshKey
from compute.instances.operations import act
from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin
from portal.kernel.errors import PortalError


@admin.register(InstanceType)
class InstanceTypeAdmin(AuditedAdmin):
    list_display = ("name", "slug", "vcpus", "memory_mib", "root_disk_gib", "is_offered")
    search_fields = ("name", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: InstanceType | None = None) -> tuple[str, ...]:
        used = obj is not None and obj.instances.exists()
        return ("slug", "vcpus", "memory_mib") if used else ()  # what was sold stays what it was


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "observed_state", "type", "host", "project", "created_at", "deleted_at")
    list_filter = ("state", "zone", "type")
    search_fields = ("name", "id", "project__name")
    list_select_related = ("type", "host", "project")
    exclude = ("vnc_password", "user_data")
    actions = ("start", "stop", "delete")

    @admin.action(description=_("Start"))
    def start(self, request: HttpRequest, queryset) -> None:
        self._each(request, queryset, "start")

    @admin.action(description=_("Stop"))
    def stop(self, request: HttpRequest, queryset) -> None:
        self._each(request, queryset, "stop")

    @admin.action(description=_("Delete for good"))
    def delete(self, request: HttpRequest, queryset) -> None:
        self._each(request, queryset, "delete")

    def _each(self, request: HttpRequest, queryset, verb: str) -> None:
        for instance in queryset:
            try:
                act(instance, verb, actor=request.user)
                messages.success(request, str(instance))
            except PortalError as error:
                messages.error(request, f"{instance}: {error.detail}")


@admin.register(SshKey)
class SshKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "fingerprint", "project", "created_at", "deleted_at")
    search_fields = ("name", "fingerprint")
    list_select_related = ("project",)
