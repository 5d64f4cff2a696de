"""The class of a type for pages: what is special of it, and what that rules out."""
from typing import Any

from django.utils.translation import gettext as _

from compute.instances.abilities import table
from compute.instances.classes import CpuMode, Firmware, IoClass, Machine
from compute.instances.models import InstanceType

USUAL = {"firmware": Firmware.BIOS, "machine": Machine.Q35, "cpu_mode": CpuMode.HOST, "io_class": IoClass.VIRTIO}


def special(type: InstanceType) -> list[Any]:
    """What is otherwise than with most types."""
    found = [getattr(type, f"get_{name}_display")() for name, usual in USUAL.items() if getattr(type, name) != usual]
    if type.numa_nodes > 1:
        found.append(_("%(count)s NUMA nodes") % {"count": type.numa_nodes})
    return [*found, *([_("huge pages")] if type.has_hugepages else [])]


def told(type: InstanceType) -> list[tuple[str, str]]:
    """What of the truth table is worth a line where one chooses: each reason with all that it rules out."""
    found: dict[str, list[str]] = {}
    for one in table(type):
        if not one.is_possible:
            found.setdefault(one.reason, []).append(str(one.label))
    return [(" · ".join(labels), reason) for reason, labels in found.items()]
