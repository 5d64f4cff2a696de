"""What a disk of an instance may be written from: asked when it is made, rescued and rebuilt."""
from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

from compute.instances.models import SshKey
from portal.kernel.models import Region
from storage.models import GIB, Image
from tenants.models import Project

USER_DATA_STARTS = ("#!", "#cloud-config")
Errors = dict[str, list[str]]


def least_disk_gib(image: Image) -> int:
    """The smallest disk that it fits on."""
    return max(image.min_disk_gib, -(-image.virtual_size // GIB))


def image_errors(image: Image, project: Project, region: Region, *, is_kept: bool = False) -> Errors:
    """Whoever sees a private image in one project does not start from it in another. `is_kept`: the instance was made from it,
    which may go on with it whatever became of it."""
    if not is_kept and image.visibility != Image.Visibility.PUBLIC and image.project_id != project.pk:
        return {"image": [str(_("This image is another project's."))]}
    if image.region_id != region.pk:
        return {"image": [str(_("This image is in another region."))]}
    if image.state != Image.State.ACTIVE and not (is_kept and image.state == Image.State.DELETED):
        return {"image": [str(_("This image is not ready."))]}
    return {}


def size_errors(image: Image, disk_gib: int, field: str) -> Errors:
    least = least_disk_gib(image)
    if disk_gib >= least:
        return {}
    return {field: [str(_("The image needs a root disk of at least %(size)s GiB.") % {"size": least})]}


def key_errors(keys: Iterable[SshKey], project: Project) -> Errors:
    is_foreign = any(key.project_id != project.pk for key in keys)
    return {"ssh_keys": [str(_("An SSH key belongs to another project."))]} if is_foreign else {}


def user_data_errors(text: str) -> Errors:
    if not text or text.startswith(USER_DATA_STARTS):
        return {}
    return {"user_data": [str(_("User data starts with “#!” (a script) or “#cloud-config”."))]}
