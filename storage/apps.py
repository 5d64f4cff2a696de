from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import ADMINS, EVERYBODY, OPERATORS, Meter, Permission, QuotaDimension, ResourceKind, registry


class StorageConfig(AppConfig):
    """Pools, images, volumes, attachments."""

    name = "storage"
    verbose_name = _("Storage")

    def ready(self) -> None:
        from storage import idle, operations  # noqa: F401  (registers host.prepare)
        from storage.models import Image, Volume

        registry.add(
            Permission(name="image.view", label=_("See images"), roles=EVERYBODY),
            Permission(name="image.create", label=_("Create images of instances"), roles=ADMINS),
            Permission(name="image.update", label=_("Rename and describe images"), roles=ADMINS),
            Permission(name="image.delete", label=_("Delete images"), roles=ADMINS),
            Permission(name="volume.view", label=_("See volumes"), roles=EVERYBODY),
            Permission(name="volume.update", label=_("Rename and describe volumes"), roles=ADMINS),
            Permission(name="volume.create", label=_("Create and grow volumes"), roles=ADMINS),
            Permission(name="volume.attach", label=_("Attach and detach volumes"), roles=OPERATORS),
            Permission(name="volume.delete", label=_("Delete volumes"), roles=ADMINS),
            ResourceKind(name="image", label=_("Image"), label_plural=_("Images"), page="images:detail", api="image-detail",
                         permission="image.view", icon="disc"),
            ResourceKind(name="volume", label=_("Volume"), label_plural=_("Volumes"), page="volumes:detail", api="volume-detail",
                         permission="volume.view", icon="database"),
            Meter(name="image", label=_("Image"), unit="GiB-second", price_unit=_("GiB and hour"), service="Images",
                  category="Storage"),
            Meter(name="volume", label=_("Volume"), unit="GiB-second", price_unit=_("GiB and hour"), service="Volumes",
                  category="Storage"),
            idle.RULE,
            QuotaDimension(name="images", label=_("Images"), rows=Image.objects.live),
            QuotaDimension(name="image_gib", label=_("Image capacity"), unit="GiB", amount="store_gib",
                           rows=Image.objects.stored),
            QuotaDimension(name="volumes", label=_("Volumes"), rows=Volume.objects.live),
            QuotaDimension(name="volume_gib", label=_("Volume capacity"), unit="GiB", rows=Volume.objects.live,
                           amount="size_gib"),
        )
