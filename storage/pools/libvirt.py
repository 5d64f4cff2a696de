"""A folder of a host as a pool, through libvirt's storage API.

libvirt sees files as they were at its last refresh, lets go of pools when it restarts, does not stop anybody from
deleting what clones stand on, and shrinks without asking: all of that is minded here. Nothing here knows images or
attachments.
"""
import os
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeVar

import libvirt
from lxml import etree

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Address, Fence, Unfenced
from compute.hosts.drivers.libvirt.faults import Gone, NotInThisState
from compute.hosts.drivers.libvirt.session import Caller, session_for
from portal.kernel.errors import HostFault

from .contract import PoolFacts, VolumeFacts
from .elements import Backing, DirPool, Volume

_CHUNK = 256 * 1024
_SECTOR = 512
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)

Answer = TypeVar("Answer")


class LibvirtDirPool(Caller):
    def __init__(self, address: Address, *, name: str, path: str, fence: Fence | None = None) -> None:
        super().__init__(session_for(address, purpose="storage"), fence or Unfenced())
        self._name, self._path = name, path.rstrip("/")

    # -- the pool --------------------------------------------------------------------------------------------------

    def ensure_pool(self) -> None:
        try:
            pool = self._call("pool.lookup", self._host().storagePoolLookupByName, self._name)
        except Gone:
            definition = DirPool(name=self._name, path=self._path).to_xml()
            pool = self._call("pool.define", self._host().storagePoolDefineXML, definition)
        if not self._call("pool.active", pool.isActive):
            self._call("pool.build", pool.build)
            self._activate(pool)
        if not self._call("pool.autostarts", pool.autostart):
            self._call("pool.autostart", pool.setAutostart, 1)

    def facts(self) -> PoolFacts:
        _, capacity, allocation, available = self._call("pool.facts", self._fresh().info)
        return PoolFacts(capacity=capacity, allocation=allocation, available=available)

    def volumes(self) -> list[VolumeFacts]:
        found = self._call("pool.volumes", self._fresh().listAllVolumes)
        return [facts for volume in found if (facts := self._unless_gone(self._describe, volume))]

    def volume(self, name: str) -> VolumeFacts | None:
        return self._unless_gone(self._describe_by_name, name)

    # -- volumes ---------------------------------------------------------------------------------------------------

    def ensure_volume(self, name: str, *, size: int, backing: str | None = None) -> VolumeFacts:
        pool = self._fresh()
        size = -(-size // _SECTOR) * _SECTOR
        below = self._require_base(pool, backing, size) if backing is not None else None
        wanted = Volume(name=name, capacity=size, format="qcow2", compat="1.1",
                        backing=Backing(path=below.path) if below else None)
        with suppress(Gone):
            return self._require_same(self._describe(self._volume(pool, name)), wanted, backing)
        created = self._call("volume.create", pool.createXML, wanted.to_xml())
        return self._describe(created)

    def ensure_uploaded(self, name: str, source: str, *, format: str, offset: int = 0, limit: int | None = None) -> int:
        pool = self._fresh() if offset == 0 else self._active()
        try:
            with open(source, "rb") as file:
                total = os.fstat(file.fileno()).st_size
                if offset == 0:
                    self._start_anew(pool, name, total)
                reached = total if limit is None else min(total, offset + limit)
                file.seek(offset)
                self._send(self._volume(pool, name), file, offset, reached - offset)
        except OSError as error:
            raise HostFault(reasons.FILE_UNREADABLE) from error
        if reached == total:
            self._call("pool.refresh", pool.refresh)
        return reached

    def ensure_resized(self, name: str, *, size: int) -> None:
        volume = self._volume(self._fresh(), name)
        capacity = self._describe(volume).capacity
        if size < capacity:
            raise HostFault(reasons.SHRINKS)
        if size > capacity:
            self._call("volume.resize", volume.resize, -(-size // _SECTOR) * _SECTOR)

    def ensure_volume_absent(self, name: str) -> None:
        pool = self._fresh()
        try:
            volume = self._volume(pool, name)
        except Gone:
            return
        path = self._call("volume.path", volume.path)
        for other in self._call("pool.volumes", pool.listAllVolumes):
            if self._unless_gone(self._backing_path, other) == path:
                raise HostFault(reasons.BASE_IN_USE)
        self._unless_gone(self._call, "volume.delete", volume.delete)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _active(self) -> libvirt.virStoragePool:
        """The pool, started again when libvirt let go of it. Raises HostFault when nobody ever made it."""
        pool = self._call("pool.lookup", self._host().storagePoolLookupByName, self._name)
        if not self._call("pool.active", pool.isActive):
            self._activate(pool)
        return pool

    def _activate(self, pool: libvirt.virStoragePool) -> None:
        try:
            self._call("pool.start", pool.create)
        except NotInThisState:
            if not self._call("pool.active", pool.isActive):
                raise

    def _fresh(self) -> libvirt.virStoragePool:
        """The pool as the folder is now, whoever changed it."""
        pool = self._active()
        self._call("pool.refresh", pool.refresh)
        return pool

    def _volume(self, pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol:
        return self._call("volume.lookup", pool.storageVolLookupByName, name)

    def _describe_by_name(self, name: str) -> VolumeFacts:
        return self._describe(self._volume(self._fresh(), name))

    def _describe(self, volume: libvirt.virStorageVol) -> VolumeFacts:
        described = etree.fromstring(self._call("volume.describe", volume.XMLDesc), _PARSER)
        backing = described.findtext("backingStore/path")
        form = described.find("target/format")
        return VolumeFacts(
            name=described.findtext("name"), path=described.findtext("target/path"),
            capacity=int(described.findtext("capacity")), allocation=int(described.findtext("allocation")),
            format="raw" if form is None else form.get("type"), backing=os.path.basename(backing) if backing else
            None)

    def _backing_path(self, volume: libvirt.virStorageVol) -> str | None:
        described = etree.fromstring(self._call("volume.describe", volume.XMLDesc), _PARSER)
        return described.findtext("backingStore/path")

    def _require_base(self, pool: libvirt.virStoragePool, backing: str, size: int) -> VolumeFacts:
        """The volume to build on: a finished qcow2 of this pool, no larger than what is asked."""
        base = self._describe(self._volume(pool, backing))
        if base.format != "qcow2":
            raise HostFault(reasons.DIFFERENT_VOLUME)
        if size < base.capacity:
            raise HostFault(reasons.BASE_LARGER)
        return base

    def _require_same(self, found: VolumeFacts, wanted: Volume, backing: str | None) -> VolumeFacts:
        if (found.capacity, found.format, found.backing) != (wanted.capacity, wanted.format, backing):
            raise HostFault(reasons.DIFFERENT_VOLUME)
        return found

    def _start_anew(self, pool: libvirt.virStoragePool, name: str, total: int) -> None:
        """An empty raw file to be filled: what is in it, the next refresh tells."""
        with suppress(Gone):
            self.ensure_volume_absent(name)
        self._call("volume.create", pool.createXML, Volume(name=name, capacity=total, format="raw").to_xml())

    def _send(self, volume: libvirt.virStorageVol, file: BinaryIO, offset: int, length: int) -> None:
        self._call("volume.upload", _send_stream, self._host(), volume, file, offset, length)

    def _unless_gone(self, function: Callable[..., Answer], *arguments: object) -> Answer | None:
        try:
            return function(*arguments)
        except Gone:
            return None


def _send_stream(host: libvirt.virConnect, volume: libvirt.virStorageVol, file: BinaryIO, offset: int,
                 length: int) -> None:
    stream = host.newStream()
    volume.upload(stream, offset, length)
    try:
        while length and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            while chunk:
                chunk = chunk[stream.send(chunk):]
    except BaseException:
        stream.abort()
        raise
    stream.finish()
