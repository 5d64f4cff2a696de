"""The watchdog of an instance: a device that a guest feeds while it is well, and what is done when it stops."""
from typing import Any

from django.db import transaction

from compute.instances import guarding
from compute.instances.models import Instance
from portal.kernel import audit, live

PERMISSION, SET = "instance.operate", "instance.watchdog"


@transaction.atomic
def set_watchdog(instance: Instance, action: str, *, actor: Any) -> Instance:
    """What is done when its guest hangs, from its next start on. Raises InstanceLocked, and NotFound when it was deleted."""
    row = guarding.held(instance)
    if row.watchdog != action:
        guarding.require(row, "watchdog")
        before, row.watchdog = row.watchdog, action
        row.save(update_fields=["watchdog"])
        live.touch(row)
        audit.record(SET, row, actor=actor, before={"watchdog": before}, after={"watchdog": action})
    return row
