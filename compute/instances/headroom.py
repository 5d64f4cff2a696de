"""Room to grow: how far an instance may grow while it runs. A domain is given it at its start and keeps it until the next."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings

from compute.instances.abilities import why_not
from compute.instances.models import Instance

# Linux takes memory in blocks of so much on machines of up to 64 GiB; what is no multiple stays unused.
BLOCK_MIB = 128
# How many times memory can be plugged in between two starts.
SLOTS = 16
# How many volumes and cards can be plugged in between two starts. Firmware and guest look at each of them when they start.
FREE_SLOTS = 8
# More than that wants an interrupt controller that guests are not given.
MOST_VCPUS = 240


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """The most processors and memory (MiB) that it may have without another start."""

    vcpus: int
    memory_mib: int

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """`settings.HEADROOM` times its size, but no more than its host has in all, and none of what its class rules out."""
        host = instance.host.capacity
        times = {name: 1 if why_not(instance.type, name) else settings.HEADROOM for name in ("hot_add_vcpus", "hot_add_memory")}
        memory = min(instance.memory_mib * times["hot_add_memory"], host["memory_mib"]) - instance.memory_mib
        return cls(vcpus=max(instance.vcpus, min(instance.vcpus * times["hot_add_vcpus"], host["vcpu"], MOST_VCPUS)),
                   memory_mib=instance.memory_mib + max(0, memory // BLOCK_MIB * BLOCK_MIB))

    @property
    def columns(self) -> Mapping[str, Any]:
        """What the instance remembers of it."""
        return {"max_vcpus": self.vcpus, "max_memory_mib": self.memory_mib}
