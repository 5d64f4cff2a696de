"""Storage in admin: pools are configured, the rest is read."""
from django.contrib import admin

from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin
from storage.models import Image, ImageCopy, Pool, Volume


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
