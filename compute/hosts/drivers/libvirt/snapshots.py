"""Snapshots inside the volumes of what runs, which only its QEMU may make: libvirt's own would keep books on the host beside
ours, and get in the way of new definitions. So QEMU is asked by its monitor, through libvirt.

All disks are taken at one moment. With memory it is a job of QEMU, which has an id: who comes after a killed worker finds it, and
what came of it, by that. QEMU answers nothing else while it writes or reads memory, so such calls go on in a thread.
"""
import hashlib
import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import libvirt
import libvirt_qemu
from lxml import etree

from compute.hosts.drivers import reasons
from portal.kernel.errors import HostFault

from .growing import Growing
from .owned import log

_START_PAUSED = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_FORCE_BOOT
_LOOK_S = 0.2
Job = dict[str, Any]


class Snapshots(Growing):
    def ensure_snapshot(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str], *, memory: bool) -> bool:
        domain, save = self._running(uuid, generation), f"save-{name}"
        if not self._is_under_way("domain.snapshot", uuid):
            if (job := self._job(domain, save)) is not None:
                return self._has_ended(domain, job)
            disks = self._disks(domain, files)
            if all(str(name) in known for known in disks.values()):
                return True
            self._drop(domain, name, disks)
            if not memory:
                self._ask(domain, "transaction", actions=[
                    {"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": str(name)}} for node in disks])
                return True
            work = partial(_carry_out, domain, "snapshot-save", save, name, list(disks))
        else:
            work = _nothing
        self._slowly("domain.snapshot", uuid, work)
        return False

    def ensure_snapshot_absent(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str]) -> list[str]:
        domain = self._running(uuid, generation)
        opened = self._opened(domain)
        self._drop(domain, name, self._disks(domain, [file for file in files if file in opened]))
        return [file for file in files if file not in opened]

    def ensure_loaded(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str], *, shape: str, attempt: UUID) -> bool:
        if self._is_under_way("domain.load", uuid):
            self._slowly("domain.load", uuid, _nothing)
            return False
        domain, load = self._started_still(uuid, generation), f"load-{attempt}"
        if (job := self._job(domain, load)) is not None:
            if job["status"] != "concluded":
                return False
            if "error" in job:
                log.warning("libvirt domain.load: %s", job["error"])
                raise HostFault(reasons.MEMORY_NOT_LOADED)
            if self._call("domain.state", domain.state)[0] == libvirt.VIR_DOMAIN_PAUSED:
                self._call("domain.resume", domain.resume)
            return True
        if self._shape(domain) != shape:
            raise HostFault(reasons.OTHER_DEVICES)
        disks = self._disks(domain, files)
        if any(str(name) not in known for known in disks.values()):
            raise HostFault(reasons.NO_SNAPSHOT)
        self._slowly("domain.load", uuid, partial(_carry_out, domain, "snapshot-load", load, name, list(disks)))
        return False

    def shape(self, uuid: UUID, generation: int) -> str:
        return self._shape(self._running(uuid, generation))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _started_still(self, uuid: UUID, generation: int) -> libvirt.virDomain:
        """The domain on, without a single step of its guest where it was off."""
        domain, known = self._ours(uuid, generation)
        if not self._is_qemu:
            raise HostFault(reasons.NOT_SUPPORTED)
        if not self._call("domain.active", domain.isActive):
            if known != generation:
                raise HostFault(reasons.NOT_DEFINED)
            self._call("domain.create", domain.createWithFlags, _START_PAUSED)
        return domain

    def _disks(self, domain: libvirt.virDomain, files: Sequence[str]) -> dict[str, set[str]]:
        """Node → the snapshots that are in it, in the order of the files."""
        found = self._opened(domain)
        if not found.keys() >= set(files):
            raise HostFault(reasons.NO_VOLUME)
        return {found[file]["node-name"]: {kept["name"] for kept in found[file]["image"].get("snapshots", ())} for file in files}

    def _opened(self, domain: libvirt.virDomain) -> dict[str, dict[str, Any]]:
        """File → what QEMU says of it."""
        return {one["inserted"]["file"]: one["inserted"] for one in self._ask(domain, "query-block") if "inserted" in one}

    def _drop(self, domain: libvirt.virDomain, name: UUID, disks: dict[str, set[str]]) -> None:
        for node, known in disks.items():
            if str(name) in known:
                self._ask(domain, "blockdev-snapshot-delete-internal-sync", device=node, name=str(name))

    def _job(self, domain: libvirt.virDomain, id: str) -> Job | None:
        return next((job for job in self._ask(domain, "query-jobs") if job["id"] == id), None)

    def _has_ended(self, domain: libvirt.virDomain, job: Job) -> bool:
        """A job that has is forgotten; one that has failed leaves nothing."""
        if job["status"] != "concluded":
            return False
        self._ask(domain, "job-dismiss", id=job["id"])
        if "error" in job:
            log.warning("libvirt domain.snapshot: %s", job["error"])
            raise HostFault(reasons.NO_SPACE if "space" in job["error"].lower() else reasons.HYPERVISOR_FAULT)
        return True

    def _ask(self, domain: libvirt.virDomain, command: str, **arguments: Any) -> Any:
        answer = self._call(f"monitor.{command}", _asked, domain, command, arguments)
        if "error" in answer:
            log.warning("libvirt monitor.%s: %s", command, answer["error"].get("desc", ""))
            raise HostFault(reasons.HYPERVISOR_FAULT)
        return answer["return"]

    def _shape(self, domain: libvirt.virDomain) -> str:
        """Processors, memory, and every device with its place: memory that is loaded beside others is torn."""
        described = self._described(domain)
        said = [(described.findtext("memory"), described.findtext("vcpu"), described.find("vcpu").get("current", "")),
                described.find("os/type").get("machine"), described.findtext("cpu/model")]
        for device in described.find("devices"):
            address = device.find("address")
            if address is None and device.tag != "memory":
                continue
            said.append((device.tag, device.get("type"), device.get("model"), device.findtext("target/size"),
                         device.findtext("serial"), _attribute(device, "mac", "address"), _attribute(device, "model", "type"),
                         _attribute(device, "target", "bus"), sorted(address.attrib.items()) if address is not None else None))
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _attribute(device: etree._Element, tag: str, name: str) -> str | None:
    found = device.find(tag)
    return found.get(name) if found is not None else None


def _asked(domain: libvirt.virDomain, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    said = {"execute": command, **({"arguments": arguments} if arguments else {})}
    return json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(said), 0))


def _carry_out(domain: libvirt.virDomain, command: str, id: str, name: UUID, nodes: list[str]) -> None:
    """Begin the job and wait for its end. What it came to is asked of it afterwards, by whoever asks then."""
    answer = _asked(domain, command, {"job-id": id, "tag": str(name), "vmstate": nodes[0], "devices": nodes})
    if "error" in answer:
        log.warning("libvirt %s: %s", command, answer["error"].get("desc", ""))
        raise HostFault(reasons.HYPERVISOR_FAULT)
    while any(job["id"] == id and job["status"] != "concluded" for job in _asked(domain, "query-jobs", {})["return"]):
        time.sleep(_LOOK_S)


def _nothing() -> None:
    pass
