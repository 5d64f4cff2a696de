"""Storage in admin: pools are configured, the rest is read. Hosts are added here, since a host comes with its pool."""
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _

from compute.hosts.admin import HostAdmin
from compute.hosts.identity import identity_of
from compute.hosts.models import Host
from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from storage import operations
from storage.forms import AddHostForm
from storage.models import Image, ImageCopy, Pool, Volume


@admin.register(Host)
class AddableHostAdmin(HostAdmin):
    """Adding asks for a name and an SSH address; endpoint, host and pool are made from these, and the host is prepared."""

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = AddHostForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                operation = operations.add_host(**form.order, actor=request.user)
            except InvalidInput as error:
                form.refuse(error.errors)
            else:
                messages.info(request, _("The host is being prepared; its page shows how far that is."))
                return redirect("hosts:detail", operation.arguments["host"])
        regions = Region.objects.filter(zones__isnull=False).distinct()
        context = self.admin_site.each_context(request) | {
            "title": _("Add host"), "opts": self.opts, "form": form, "identities": [identity_of(region) for region in regions]}
        return render(request, "hosts/add.html", context)


@admin.register(Pool)
class PoolAdmin(AuditedAdmin):
    list_display = ("name", "host", "pool_class", "path", "capacity", "available")
    search_fields = ("name", "path")
    list_select_related = ("host",)
    autocomplete_fields = ("region", "host")


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "visibility", "os", "min_disk_gib", "project", "created_at")
    list_filter = ("state", "visibility")
    search_fields = ("name", "id")
    list_select_related = ("project",)


@admin.register(ImageCopy)
class ImageCopyAdmin(ReadOnlyAdmin):
    list_display = ("image", "pool", "is_complete")
    list_select_related = ("image", "pool")


@admin.register(Volume)
class VolumeAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "size_gib", "pool", "project", "created_at", "deleted_at")
    list_filter = ("state", "pool_class")
    search_fields = ("name", "id")
    list_select_related = ("pool", "project")
