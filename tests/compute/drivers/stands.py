"""Where the contract suites run: a *stand* is a host to open through a driver, with a hand for what happens to it.

A stand declares what it `lacks`; such a test is then expected to fail, strictly: one that passes after all is an
error, so a declaration can neither hide a fault nor outlive its reason.
"""
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import libvirt
from lxml import etree

from compute.hosts.drivers import open_hypervisor
from compute.hosts.drivers.contract import Address, Fence, Hypervisor
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.drivers.simulated.snapshots import volume_at
from compute.hosts.drivers.spec import Domain
from storage.pools import open_pool
from storage.pools.contract import VolumePool

from .guests import small_domain


class Hand(Protocol):
    """What happens to a host from outside."""

    def pause(self, uuid: UUID) -> None: ...

    def suspend(self, uuid: UUID) -> None: ...

    def lose_memory(self, uuid: UUID) -> None: ...

    def destroy(self, uuid: UUID) -> None: ...

    def undefine(self, uuid: UUID) -> None: ...

    def add_foreign(self, name: str) -> UUID: ...

    def crash(self, uuid: UUID) -> None: ...

    def size(self, uuid: UUID) -> tuple[int, int]: ...

    def disks(self, uuid: UUID) -> set[str]: ...

    def keep_devices(self, uuid: UUID) -> None: ...

    def snapshots(self, file: str) -> list[str]: ...

    def install_agent(self, uuid: UUID, *cards: tuple[str, str, list[str]]) -> None: ...

    def agent(self, uuid: UUID) -> dict: ...

    def let_go_of_pool(self, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Stand:
    driver: str
    address: Address
    pool_name: str
    pool_path: str
    hand: Hand
    lacks: frozenset[str] = frozenset()
    domain_type: str = "qemu"
    files: Path | None = None
    made: list[UUID] = field(default_factory=list)

    def hypervisor(self, fence: Fence | None = None) -> Hypervisor:
        return open_hypervisor(self.driver, self.address, fence=fence)

    def pool(self, fence: Fence | None = None) -> VolumePool:
        return open_pool(self.driver, self.address, name=self.pool_name, path=self.pool_path, fence=fence)

    def new_name(self) -> str:
        return f"t-{uuid4()}"

    def new_domain(self, **more: object) -> Domain:
        """A domain with an empty disk of its own, not defined yet."""
        volume = self.pool().ensure_volume(self.new_name(), size=1024**2)
        return self.domain_on(volume.path, **more)

    def domain_on(self, file: str, **more: object) -> Domain:
        spec = small_domain(file, **({"type": self.domain_type} | more))
        self.made.append(spec.uuid)
        return spec

    def add_foreign(self) -> UUID:
        self.made.append(self.hand.add_foreign(f"foreign-{uuid4()}"))
        return self.made[-1]

    def tidy(self) -> None:
        """Leave nothing of this test, however it went."""
        for uuid in self.made:
            if self.hypervisor().domain(uuid):
                self.hand.destroy(uuid)
        self.made.clear()
        by_clones_first = sorted(self.pool().volumes(), key=lambda volume: volume.backing is None)
        for volume in by_clones_first:
            self.pool().ensure_volume_absent(volume.name)


class SimulatedHand(SimulatedHost):
    def snapshots(self, file: str) -> list[str]:
        return list(volume_at(self._store.read(), file).get("snapshots", ()))

    def let_go_of_pool(self, name: str) -> None:
        raise NotImplementedError("a simulated pool is never inactive")


class LibvirtHand:
    """The host's administrator with virsh, on the same connection as the driver where the driver is in this process."""

    def __init__(self, connect: Callable[[], libvirt.virConnect], kill: Callable[[UUID], None] | None = None,
                 storage: Callable[[], libvirt.virConnect] | None = None) -> None:
        self._connect, self._kill, self._storage = connect, kill, storage or connect

    def _find(self, uuid: UUID) -> libvirt.virDomain:
        return self._connect().lookupByUUIDString(str(uuid))

    def pause(self, uuid: UUID) -> None:
        self._find(uuid).suspend()

    def suspend(self, uuid: UUID) -> None:
        self._find(uuid).managedSave()

    def lose_memory(self, uuid: UUID) -> None:
        self._find(uuid).managedSaveRemove()

    def size(self, uuid: UUID) -> tuple[int, int]:
        domain = self._find(uuid)
        return domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE), domain.maxMemory() // 1024

    def disks(self, uuid: UUID) -> set[str]:
        described = etree.fromstring(self._find(uuid).XMLDesc())
        return {source.get("file") for source in described.iterfind("devices/disk/source")}

    def keep_devices(self, uuid: UUID) -> None:
        """What has no system keeps them anyway."""

    def snapshots(self, file: str) -> list[str]:
        told = subprocess.run(["qemu-img", "info", "-U", "-f", "qcow2", "--output=json", file], check=True, capture_output=True)
        return [one["name"] for one in json.loads(told.stdout).get("snapshots", ())]

    def install_agent(self, uuid: UUID, *cards: tuple[str, str, list[str]]) -> None:
        raise NotImplementedError("what these hosts run has no system to install it in")

    def agent(self, uuid: UUID) -> dict:
        raise NotImplementedError("as above")

    def undefine(self, uuid: UUID) -> None:
        self._find(uuid).undefine()

    def destroy(self, uuid: UUID) -> None:
        domain = self._find(uuid)
        was_persistent = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        if was_persistent:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)

    def add_foreign(self, name: str) -> UUID:
        kind = "test" if self._connect().getType() == "Test" else "qemu"
        spec = small_domain("/dev/null", type=kind, name=name, devices=())
        xml = spec.to_xml()
        start, end = xml.index("<metadata>"), xml.index("</metadata>") + len("</metadata>")
        self._connect().defineXML(xml[:start] + xml[end:])
        return spec.uuid

    def crash(self, uuid: UUID) -> None:
        if self._kill is None:
            raise NotImplementedError("the test driver has no processes to kill")
        self._kill(uuid)

    def let_go_of_pool(self, name: str) -> None:
        self._storage().storagePoolLookupByName(name).destroy()
