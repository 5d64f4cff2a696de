"""What runs grows: processors, memory, disks and cards are put into it, and taken out where the guest lets go of them."""
from contextlib import suppress
from uuid import UUID

import libvirt
from lxml import etree

from compute.hosts.drivers import reasons
from compute.hosts.drivers.spec import Dimm, Disk, Interface
from portal.kernel.errors import HostFault

from .faults import Gone
from .owned import Owned

_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


class Growing(Owned):
    def ensure_size(self, uuid: UUID, generation: int, *, vcpus: int, memory_mib: int) -> None:
        domain = self._running(uuid, generation)
        most = self._call("domain.most_vcpus", domain.vcpusFlags, _LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
        if vcpus > most:  # before memory is touched, which a guest may not give back
            raise HostFault(reasons.NO_HEADROOM)
        missing = memory_mib - self._memory_of(domain)
        if missing > 0:
            self._call("domain.plug_memory", domain.attachDeviceFlags, Dimm(size_mib=missing).to_xml(), _LIVE)
        if self._call("domain.vcpus", domain.vcpusFlags, _LIVE) != vcpus:
            self._call("domain.set_vcpus", domain.setVcpusFlags, vcpus, _LIVE)
        if missing < 0:
            self._take_memory(domain, -missing)

    def ensure_plugged(self, uuid: UUID, generation: int, device: Disk | Interface) -> None:
        domain = self._running(uuid, generation)
        if self._plugged(domain, device) is None:
            self._call("domain.plug", domain.attachDeviceFlags, device.to_xml(), _LIVE)

    def ensure_unplugged(self, uuid: UUID, generation: int, device: Disk | Interface) -> bool:
        try:
            domain, _ = self._ours(uuid, generation)
            found = self._plugged(domain, device) if self._call("domain.active", domain.isActive) else None
            if found is None:
                return True
            with suppress(HostFault):  # asked again before the guest has answered, QEMU refuses; what is there is looked at
                self._call("domain.unplug", domain.detachDeviceFlags, etree.tostring(found, encoding="unicode"), _LIVE)
            return self._plugged(domain, device) is None
        except Gone:
            return True

    def ensure_disk_size(self, uuid: UUID, generation: int, disk: Disk, *, size: int) -> None:
        domain = self._running(uuid, generation)
        found = self._plugged(domain, disk)
        if found is None:
            raise HostFault(reasons.NO_VOLUME)
        target = found.find("target").get("dev")
        has = self._call("domain.disk_size", domain.blockInfo, target)[0]
        if has > size:  # libvirt would cut it off without asking
            raise HostFault(reasons.SHRINKS)
        if has < size:
            self._call("domain.grow_disk", domain.blockResize, target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _running(self, uuid: UUID, generation: int) -> libvirt.virDomain:
        """The domain, to which devices can be added. Raises HostFault when it is off."""
        domain, _ = self._ours(uuid, generation)
        if not self._is_qemu:
            raise HostFault(reasons.NOT_SUPPORTED)
        if not self._call("domain.active", domain.isActive):
            raise HostFault(reasons.NOT_RUNNING)
        return domain

    def _plugged(self, domain: libvirt.virDomain, device: Disk | Interface) -> etree._Element | None:
        """The device in what runs: a disk by its serial, a card by its port."""
        devices = self._described(domain).find("devices")
        if isinstance(device, Disk):
            return next((one for one in devices.iterfind("disk") if one.findtext("serial") == device.serial), None)
        port = str(device.interface_id)
        return next((one for one in devices.iterfind("interface")
                     if (known := one.find("virtualport/parameters")) is not None and known.get("interfaceid") == port), None)

    def _take_memory(self, domain: libvirt.virDomain, size_mib: int) -> None:
        """Of the modules that were plugged in, the last one of that size, if the guest lets it go."""
        before = self._memory_of(domain)
        for module in reversed(self._described(domain).findall("devices/memory[@model='dimm']")):
            if int(module.findtext("target/size")) == size_mib * 1024:
                xml = etree.tostring(module, encoding="unicode")
                self._call("domain.unplug_memory", domain.detachDeviceFlags, xml, _LIVE)
                break
        if self._memory_of(domain) != before - size_mib:
            raise HostFault(reasons.GUEST_KEEPS_IT, transient=True)

    def _memory_of(self, domain: libvirt.virDomain) -> int:
        """MiB, with what was plugged in."""
        return self._call("domain.memory", domain.maxMemory) // 1024
