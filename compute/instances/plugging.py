"""Whether disks and cards come to what runs, and go from it."""
from compute.instances.abilities import why_not
from compute.instances.errors import ClassForbids, NotSupported, NotWhileRunning
from compute.instances.models import Instance, InstanceState


def refusal(instance: Instance) -> NotSupported | None:
    """What keeps devices from coming and going now; None when nothing does, as when it is off. Wants host and endpoint
    selected."""
    if instance.state != InstanceState.RUNNING:
        return None
    if instance.host.endpoint.capabilities.get("hot_plugs") is False:
        return NotWhileRunning(name=instance.name)
    reason = why_not(instance.type, "hot_add_devices")
    return ClassForbids(name=instance.name, reason=reason) if reason else None
