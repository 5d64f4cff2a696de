"""The list of images: the project's own and the public ones. Whose a public image is, tenants are not told."""
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.lists import Choice, Column, Empty
from storage.models import GIB, Image
from tenants.lists import BY_NAME, BY_REGION, BY_TAG, CREATED, ID, NAME, REGION, STATE, TAGS, Listing, states


class ImageList(Listing):
    """Images by name."""

    name, url_name, row_template, ordering = "images", "images:list", "storage/_image_row.html", "name"
    title, live = _("Images"), "image"
    columns = (
        ID, NAME, STATE, Column(label=_("Operating system"), kind="wide-only", value=lambda line: line.row.os),
        Column(label=_("File size"), kind="text-end", value=lambda line: f"{line.row.virtual_size / GIB:.2f} GiB"),
        Column(label=_("Visibility"), kind="wide-only", value=lambda line: line.row.get_visibility_display()), REGION,
        CREATED, TAGS)
    filters = (BY_NAME, states(Image.State.choices, "deleted"),
               Choice(name="visibility", label=_("Visibility"), choices=Image.Visibility.choices), BY_REGION, BY_TAG)
    empty = Empty(icon="disc", title=_("No images yet"), command="mains image list",
                  text=_("An image is a disk that instances start from. Operators publish them for everybody."))

    def rows(self) -> QuerySet[Image]:
        return Image.objects.visible_to(self.user).select_related("region")

    def is_changing(self, row: Image) -> bool:
        return Image.TONES[row.state] == "busy"
