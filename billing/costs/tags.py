"""Which keys of tags there are to divide costs by."""
from collections.abc import Collection
from uuid import UUID

from django.db.models import Func, TextField

from portal.kernel.models import Resource
from portal.kernel.remembered import remembered

NEWEST, MOST = 2000, 50
"""Of so many of the newest resources the tags are looked at: enough to offer what is in use, however many there are."""
KEYS = Func("tags", function="jsonb_object_keys", output_field=TextField())


def tags_in_use(projects: Collection[UUID] | None) -> list[str]:
    """Keys of tags in the projects (None: in all), by name. One statement."""
    rows = Resource.objects.live() if projects is None else Resource.objects.live().filter(project_id__in=projects)
    newest = rows.order_by("-created_at", "-id").values("pk")[:NEWEST]
    key = ("tags", None if projects is None else frozenset(projects))
    return remembered(key, lambda: sorted(Resource.objects.filter(pk__in=newest).order_by().values_list(
        KEYS, flat=True).distinct()[:MOST]))
