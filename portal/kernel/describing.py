"""What a person calls a thing: the one verb that changes name, description and tags of any resource."""
from django.db import transaction

from portal.kernel import audit, live
from portal.kernel.errors import Stale, StateConflict
from portal.kernel.models import Resource


@transaction.atomic
def update_resource(row: Resource, *, actor, version: int | None = None, **changes: object) -> Resource:
    """The row as it is called now. The caller has checked access and the changes' shapes.

    `version` is the one that the caller looked at. Raises Stale when the row has another by now, StateConflict when it
    was deleted meanwhile.
    """
    stored = Resource.objects.select_for_update(no_key=True).get(pk=row.pk)
    if stored.deleted_at is not None:
        raise StateConflict(state="deleted")
    if version is not None and stored.version != version:
        raise Stale
    before = {name: getattr(stored, name) for name in changes}
    Resource.objects.filter(pk=row.pk).update(**changes)
    live.touch(row)
    audit.record(f"{row.kind}.update", row, actor=actor, before=before, after=dict(changes))
    row.refresh_from_db()
    return row
