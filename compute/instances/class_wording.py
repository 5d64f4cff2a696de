"""The class of a type for pages: what is special of it, and what that rules out."""
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from compute.instances.abilities import Told, table
from compute.instances.classes import CpuMode, Firmware, IoClass, Machine
from compute.instances.models import InstanceType

USUAL = {"firmware": Firmware.BIOS, "machine": Machine.Q35, "cpu_mode": CpuMode.HOST, "io_class": IoClass.VIRTIO}


def special(type: InstanceType) -> list[Any]:
    """What is otherwise than with most types."""
    found = [getattr(type, f"get_{name}_display")() for name, usual in USUAL.items() if getattr(type, name) != usual]
    if type.numa_nodes > 1:
        found.append(_("%(count)s NUMA nodes") % {"count": type.numa_nodes})
    return [*found, *([_("huge pages")] if type.has_hugepages else [])]


def told(type: InstanceType) -> Sequence[Told]:
    """What of the truth table is worth a line where one chooses: what is ruled out."""
    return [one for one in table(type) if not one.is_possible]
