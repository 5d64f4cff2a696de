"""How the class of a type becomes parts of a domain: firmware, board, processor, buses and models."""
from dataclasses import dataclass, replace
from typing import Any

from compute.hosts.drivers.spec import Cell, Disk, Element, Feature, Interface, Tpm
from compute.instances.classes import CpuMode, Firmware, IoClass, Machine
from compute.instances.models import InstanceType

# What every x86-64 processor of the last fifteen years can do, and QEMU's own name for that.
BASELINE = "qemu64"
# Ports of the board's SATA controller. The set-up drive has the last; what is beside it comes after.
_SATA_PORTS = 6
_MACHINES = {Machine.Q35: "q35", Machine.I440FX: "pc"}
_SECURE = (Feature(name="secure-boot"), Feature(name="enrolled-keys"))
# With UEFI alone the same keys would refuse what is signed by nobody.
_PLAIN = (Feature(name="secure-boot", enabled="no"), Feature(name="enrolled-keys", enabled="no"))


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a type says, for a domain of so many vCPUs."""

    type: InstanceType
    vcpus: int
    is_accelerated: bool

    @property
    def of_domain(self) -> dict[str, Any]:
        """Fields of the domain itself."""
        secure = self.type.firmware == Firmware.UEFI_SECURE
        efi = {} if self.type.firmware == Firmware.BIOS else {
            "firmware": "efi", "firmware_features": _SECURE if secure else _PLAIN, "smm": "on" if secure else None}
        return {"machine": _MACHINES[Machine(self.type.machine)], "hugepages": self.type.has_hugepages, **self._cpu, **efi}

    @property
    def _cpu(self) -> dict[str, Any]:
        """Without acceleration there is no processor of the host to pass through: QEMU's own is taken."""
        if self.type.cpu_mode == CpuMode.BASELINE:
            return {"cpu_mode": "custom", "cpu_model": BASELINE}
        if self.type.cpu_mode == CpuMode.HOST_MODEL:
            return {"cpu_mode": "host-model"}
        return {"cpu_mode": "host-passthrough" if self.is_accelerated else None}

    @property
    def devices(self) -> list[Element]:
        return [Tpm()] if self.type.firmware == Firmware.UEFI_SECURE else []

    def cells(self, *, vcpus: int, memory_mib: int) -> tuple[Cell, ...]:
        """`vcpus`, the most that it can have, and its memory, divided as evenly as it goes."""
        nodes = min(self.type.numa_nodes, vcpus)
        starts = [vcpus * number // nodes for number in range(nodes + 1)]
        bounds = [memory_mib * number // nodes for number in range(nodes + 1)]
        return tuple(Cell(id=number, cpus=_range(starts[number], starts[number + 1] - 1),
                          memory_mib=bounds[number + 1] - bounds[number]) for number in range(nodes))

    # -- devices, also such as come while it runs --

    def disk(self, disk: Disk) -> Disk:
        """A disk of virtio, on the bus of the class."""
        if self.type.io_class == IoClass.MULTIQUEUE:
            return replace(disk, queues=self.vcpus)
        return replace(disk, bus="sata", target=_on_sata(disk.target)) if self.type.io_class == IoClass.EMULATED else disk

    def card(self, card: Interface) -> Interface:
        if self.type.io_class == IoClass.MULTIQUEUE:
            return replace(card, queues=self.vcpus)
        if self.type.io_class == IoClass.EMULATED:
            return replace(card, model="e1000e" if self.type.machine == Machine.Q35 else "e1000", offload=())
        return card


def _range(first: int, last: int) -> str:
    return f"{first}-{last}"


def _on_sata(target: str) -> str:
    """vda → sda. The set-up drive, far behind on virtio, has the last port of the first controller."""
    number = ord(target[-1]) - ord("a")
    if target == "vdz":
        number = _SATA_PORTS - 1
    elif number >= _SATA_PORTS - 1:
        number += 1
    return f"sd{chr(ord('a') + number)}"
