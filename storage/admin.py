"""Storage in admin: pools are configured, images shown and retired, the rest is read. Hosts are added here, since a host
comes with its pool.
"""
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from compute.hosts.admin import HostAdmin
from compute.hosts.identity import identity_of
from compute.hosts.models import Host
from compute.hosts.operations import prepare_host
from portal.kernel.admin import ALREADY, CatalogueAdmin, ReadOnlyAdmin, act
from portal.kernel.admin.columns import LiveFilter, size_text, sized, toned
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from storage import operations
from storage.forms import AddHostForm, PoolForm
from storage.models import GIB, Attachment, Image, ImageCopy, Pool, Volume


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
class PoolAdmin(CatalogueAdmin):
    """A pool is made on its host when the host is prepared; where volumes lie already, its place stays."""

    form = PoolForm
    list_display = ("name", "host", "pool_class", "path", "room")
    list_filter = (("region", RelatedDropdownFilter),)
    search_fields = ("name", "path", "host__name")
    list_select_related = page_related = ("host",)
    autocomplete_fields = ("host",)
    fields = ("host", "name", "path", "pool_class")

    def name_of(self, row: Pool) -> str:
        return f"{row.name} – {row.host}"

    @display(description=_("free"), ordering="available")
    def room(self, pool: Pool) -> str:
        if not pool.capacity:
            return "–"
        return str(_("%(free)s of %(all)s") % {"free": size_text(pool.available), "all": size_text(pool.capacity)})

    def get_readonly_fields(self, request: HttpRequest, obj: Pool | None = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        return ("host", "name", "path", "pool_class") if self.is_used(obj) else ("host",)

    def save_model(self, request: HttpRequest, obj: Pool, form, change: bool) -> None:
        obj.region = obj.host.region
        super().save_model(request, obj, form, change)
        if form.changed_data:
            prepare_host(obj.host, actor=request.user)
            messages.info(request, _("The host is being prepared, which makes the pool."))


def _why_not_for_rescue(image: Image) -> Any:
    if image.visibility != Image.Visibility.PUBLIC:
        return _("It is shown to its project only.")
    return ALREADY if image.is_for_rescue else ""


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin):
    list_display = ("name", "state_now", "shown_to", "is_for_rescue", "os", "size", "min_disk_gib", "project", "created_at")
    list_filter = (("state", ChoicesDropdownFilter), "visibility", "is_for_rescue", LiveFilter,
                   ("region", RelatedDropdownFilter))
    search_fields = ("name", "os")
    list_select_related = ("project",)
    ordering = ("-created_at", "-id")
    actions = ("publish", "hide", "for_rescue", "not_for_rescue", "retire")
    state_now = toned()
    shown_to = toned("visibility", description=_("visibility"), tones={"public": "ok", "private": "off"})
    size = sized("virtual_size", description=_("size"))

    @act(_("Show to everybody"), why_not=lambda row: ALREADY if row.visibility == "public" else "")
    def publish(self, row: Image, actor) -> None:
        operations.set_image_visibility(row, Image.Visibility.PUBLIC, actor=actor)

    @act(_("Show to its project only"), why_not=lambda row: ALREADY if row.visibility == "private" else "")
    def hide(self, row: Image, actor) -> None:
        operations.set_image_visibility(row, Image.Visibility.PRIVATE, actor=actor)

    @act(_("Offer it for rescue"), why_not=_why_not_for_rescue)
    def for_rescue(self, row: Image, actor) -> None:
        operations.set_image_for_rescue(row, True, actor=actor)

    @act(_("Do not offer it for rescue"), why_not=lambda row: "" if row.is_for_rescue else ALREADY)
    def not_for_rescue(self, row: Image, actor) -> None:
        operations.set_image_for_rescue(row, False, actor=actor)

    @act(_("Retire"), confirm=_("Nothing new starts from a retired image. What runs keeps its copy; this is not undone."),
         why_not=lambda row: "" if row.is_retirable else ALREADY)
    def retire(self, row: Image, actor) -> None:
        operations.retire_image(row, actor=actor)


@admin.register(ImageCopy)
class ImageCopyAdmin(ReadOnlyAdmin):
    list_display = ("image", "pool_name", "on_host", "is_complete")
    list_filter = ("is_complete",)
    search_fields = ("image__name", "pool__name", "pool__host__name")
    identifiers = ("image_id", "pool_id")
    list_select_related = ("image", "pool__host")

    def name_of(self, row: ImageCopy) -> str:
        return f"{row.image} – {row.pool.host}"

    @display(description=_("pool"), ordering="pool__name")
    def pool_name(self, copy: ImageCopy) -> str:
        return copy.pool.name

    @display(description=_("host"), ordering="pool__host__name")
    def on_host(self, copy: ImageCopy) -> Host:
        return copy.pool.host


@admin.register(Volume)
class VolumeAdmin(ReadOnlyAdmin):
    list_display = ("name", "state_now", "size", "on_host", "project", "created_at", "deleted_at")
    list_filter = (("state", ChoicesDropdownFilter), LiveFilter, ("region", RelatedDropdownFilter),
                   ("project", AutocompleteSelectFilter))
    search_fields = ("name",)
    list_select_related = ("pool__host", "project")
    ordering = ("-created_at", "-id")
    state_now = toned()
    size = sized("size_gib", description=_("size"), unit=GIB)

    @display(description=_("host"), empty_value="–")
    def on_host(self, volume: Volume) -> Host | None:
        return volume.pool.host if volume.pool else None


@admin.register(Attachment)
class AttachmentAdmin(ReadOnlyAdmin):
    """Which volume is in which instance."""

    list_display = ("volume", "domain", "target", "is_boot")
    list_filter = ("is_boot",)
    search_fields = ("volume__name",)
    identifiers = ("volume_id", "domain")
    list_select_related = ("volume",)
