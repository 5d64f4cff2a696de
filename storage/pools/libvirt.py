"""A folder of a host as a pool, through libvirt's storage API.

libvirt sees files as they were at its last refresh, lets go of pools when it restarts, does not stop anybody from
deleting what clones stand on, and shrinks without asking: all of that is minded here. Nothing here knows images or
attachments.
"""
import os
import time
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from typing import BinaryIO

import libvirt
from lxml import etree

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Address, Fence, Unfenced
from compute.hosts.drivers.libvirt.faults import FileMissing, Gone, NotInThisState, PoolBusy, translate
from compute.hosts.drivers.libvirt.session import Caller, begin, session_for
from portal.kernel.errors import HostFault

from .contract import PoolFacts, Portion, VolumeFacts
from .elements import Backing, DirPool, Volume

_CHUNK = 256 * 1024
_SECTOR = 512
_MAGIC = b"QFI\xfb"
# How often whoever waits for a copy is asked whether it is still wanted; seconds.
_STILL_S = 3
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)


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
        return self._call("pool.volumes", _read_all, self._fresh())

    def volume(self, name: str) -> VolumeFacts | None:
        try:
            return self._find(self._active(), name)
        except Gone:
            return None

    # -- volumes ---------------------------------------------------------------------------------------------------

    def ensure_volume(self, name: str, *, size: int, backing: str | None = None) -> VolumeFacts:
        pool, size = self._active(), _whole_sectors(size)
        below = self._require_base(pool, backing, size) if backing is not None else None
        wanted = Volume(name=name, capacity=size, format="qcow2", compat="1.1",
                        backing=Backing(path=below.path) if below else None)
        with suppress(Gone):
            return _require_same(self._describe(pool, name), wanted, backing)
        try:
            self._call("volume.create", pool.createXML, wanted.to_xml())
        except NotInThisState:  # a file that libvirt did not know of
            self._refresh(pool)
            return _require_same(self._describe(pool, name), wanted, backing)
        return self._describe(pool, name)

    def ensure_uploaded(self, name: str, source: str, *, format: str, offset: int = 0, limit: int | None = None,
                        seconds: float | None = None) -> int:
        pool = self._active()
        try:
            with open(source, "rb") as file:
                total = os.fstat(file.fileno()).st_size
                if offset == 0:
                    self._start_anew(pool, name, _empty(file, name, total, format))
                reached = total if limit is None else min(total, offset + limit)
                file.seek(offset)
                reached = offset + self._send(self._lookup(pool, name), file, offset, reached - offset, seconds)
        except OSError as error:
            raise HostFault(reasons.FILE_UNREADABLE) from error
        if reached == total:
            with suppress(PoolBusy):
                self._refresh(pool)
        return reached

    def copy_volume(self, name: str, source: str, *, still: Callable[[], None]) -> VolumeFacts:
        pool = self._active()
        described = self._find(pool, source)
        self._forget_try(pool, name)
        wanted = Volume(name=name, capacity=described.capacity, format="qcow2", compat="1.1").to_xml()
        copying = self._call("volume.copy", begin, partial(pool.createXMLFrom, wanted, self._lookup(pool, source)))
        while not wait([copying], _STILL_S).done:
            still()
        try:
            copying.result()
        except libvirt.libvirtError as error:
            raise translate(error, "volume.copy", is_alive=self._session.is_alive()) from error
        return self._describe(pool, name)

    def ensure_downloaded(self, name: str, target: str, *, offset: int = 0, limit: int | None = None,
                          seconds: float | None = None) -> Portion:
        pool = self._active()
        self._find(pool, name)
        volume = self._lookup(pool, name)
        total = self._call("volume.length", _length, volume)
        length, received = total - offset if limit is None else min(total - offset, limit), 0
        try:
            with open(target, "r+b" if offset else "wb") as file:
                file.truncate(offset)
                file.seek(offset)
                if length > 0:
                    received = self._call("volume.download", _receive_stream, self._host(), volume, file, offset, length, seconds)
        except OSError as error:
            raise HostFault(reasons.FILE_UNREADABLE) from error
        if length > 0 and not received:
            raise HostFault(reasons.BROKEN_CONNECTION, transient=True)
        return Portion(reached=offset + received, total=total)

    def ensure_resized(self, name: str, *, size: int) -> None:
        pool = self._active()
        capacity, size = self._find(pool, name).capacity, _whole_sectors(size)
        if size < capacity:
            raise HostFault(reasons.SHRINKS)
        if size > capacity:
            self._call("volume.resize", self._lookup(pool, name).resize, size)

    def ensure_volume_absent(self, name: str) -> None:
        pool = self._active()
        try:
            self._describe(pool, name)
        except Gone:
            with suppress(PoolBusy):  # while a file is sent or copied, what libvirt never knew counts as absent
                self._refresh(pool)
        self._remove_known(pool, name)

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

    def _refresh(self, pool: libvirt.virStoragePool) -> None:
        """Let libvirt look at the folder: costs an open of every file, and is refused while a file is being sent."""
        self._call("pool.refresh", pool.refresh)

    def _fresh(self) -> libvirt.virStoragePool:
        """The pool as the folder is now, or as libvirt knows it while a file is being sent."""
        pool = self._active()
        with suppress(PoolBusy):
            self._refresh(pool)
        return pool

    def _lookup(self, pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol:
        return self._call("volume.lookup", pool.storageVolLookupByName, name)

    def _describe(self, pool: libvirt.virStoragePool, name: str) -> VolumeFacts:
        """What libvirt knows of it; the file is looked at, but what is new in the folder stays unseen. Raises Gone."""
        try:
            return self._call("volume.describe", _read, self._lookup(pool, name))
        except FileMissing:
            self._refresh(pool)
            return self._call("volume.describe", _read, self._lookup(pool, name))

    def _find(self, pool: libvirt.virStoragePool, name: str) -> VolumeFacts:
        """The volume, also when its file came behind libvirt's back. Raises Gone."""
        try:
            return self._describe(pool, name)
        except Gone:
            self._refresh(pool)
            return self._describe(pool, name)

    def _require_base(self, pool: libvirt.virStoragePool, backing: str, size: int) -> VolumeFacts:
        """The volume to build on: a finished qcow2 of this pool, no larger than what is asked."""
        base = self._find(pool, backing)
        if base.format != "qcow2":  # as it was before its content arrived
            self._refresh(pool)
            base = self._describe(pool, backing)
        if base.format != "qcow2":
            raise HostFault(reasons.DIFFERENT_VOLUME)
        if size < base.capacity:
            raise HostFault(reasons.BASE_LARGER)
        return base

    def _start_anew(self, pool: libvirt.virStoragePool, name: str, empty: Volume) -> None:
        """An empty file to be filled, of its final format: no refresh is needed to build on it, and none may be possible."""
        try:
            self._remove_known(pool, name)
            self._call("volume.create", pool.createXML, empty.to_xml())
        except NotInThisState:  # a file that libvirt did not know of
            self._refresh(pool)
            self._remove_known(pool, name)
            self._call("volume.create", pool.createXML, empty.to_xml())

    def _remove_known(self, pool: libvirt.virStoragePool, name: str) -> None:
        """Delete what libvirt knows under that name, unless something is built on it."""
        with suppress(Gone):
            path = self._describe(pool, name).path
            if path in self._call("pool.backings", _read_backings, pool):
                raise HostFault(reasons.BASE_IN_USE)
            self._call("volume.delete", self._lookup(pool, name).delete)

    def _forget_try(self, pool: libvirt.virStoragePool, name: str) -> None:
        """What an earlier try left. One that goes on cannot be deleted, and libvirt says so (transient)."""
        try:
            self._remove_known(pool, name)
        except PoolBusy as error:
            raise NotInThisState from error
        with suppress(PoolBusy):  # a file that libvirt did not know of
            self._refresh(pool)
        self._remove_known(pool, name)

    def _send(self, volume: libvirt.virStorageVol, file: BinaryIO, offset: int, length: int, seconds: float | None) -> int:
        return self._call("volume.upload", _send_stream, self._host(), volume, file, offset, length, seconds)


def _empty(file: BinaryIO, name: str, total: int, format: str) -> Volume:
    """What the file will be. One that claims to be a qcow2 and is none is sent as it is."""
    header = file.read(32)
    if format == "qcow2" and header[:4] == _MAGIC:
        return Volume(name=name, capacity=int.from_bytes(header[24:32]), format="qcow2", compat="1.1")
    return Volume(name=name, capacity=total, format="raw")


def _whole_sectors(size: int) -> int:
    """qcow2 sizes are whole sectors; libvirt rounds up, and so must what is compared."""
    return -(-size // _SECTOR) * _SECTOR


def _require_same(found: VolumeFacts, wanted: Volume, backing: str | None) -> VolumeFacts:
    if (found.capacity, found.format, found.backing) != (wanted.capacity, wanted.format, backing):
        raise HostFault(reasons.DIFFERENT_VOLUME)
    return found


def _read(volume: libvirt.virStorageVol) -> VolumeFacts:
    described = etree.fromstring(volume.XMLDesc(), _PARSER)
    backing = described.findtext("backingStore/path")
    form = described.find("target/format")
    return VolumeFacts(
        name=described.findtext("name"), path=described.findtext("target/path"),
        capacity=int(described.findtext("capacity")), allocation=int(described.findtext("allocation")),
        format="raw" if form is None else form.get("type"), backing=os.path.basename(backing) if backing else None)


def _read_all(pool: libvirt.virStoragePool) -> list[VolumeFacts]:
    """One call for the list and one for each volume, since libvirt has no bulk form; what vanishes meanwhile is left
    out."""
    found = []
    for volume in pool.listAllVolumes():
        with suppress(libvirt.libvirtError):
            found.append(_read(volume))
    return found


def _read_backings(pool: libvirt.virStoragePool) -> set[str]:
    """The paths that volumes of the pool are built on."""
    found = set()
    for volume in pool.listAllVolumes():
        try:
            described = etree.fromstring(volume.XMLDesc(), _PARSER)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL or "No such file" in str(error):
                continue
            raise
        found.add(described.findtext("backingStore/path"))
    return found


def _send_stream(host: libvirt.virConnect, volume: libvirt.virStorageVol, file: BinaryIO, offset: int,
                 length: int, seconds: float | None) -> int:
    """How many bytes were sent: all of `length`, unless the time was over."""
    stream, sent, began = host.newStream(), 0, time.monotonic()
    volume.upload(stream, offset, length)
    try:
        while sent < length and (chunk := file.read(min(_CHUNK, length - sent))):
            sent += len(chunk)
            while chunk:
                chunk = chunk[stream.send(chunk):]
            if seconds is not None and time.monotonic() - began >= seconds:
                break
    except BaseException:
        stream.abort()
        raise
    stream.finish()
    return sent


def _length(volume: libvirt.virStorageVol) -> int:
    """Of its file, not of the disk inside."""
    return volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2]


def _receive_stream(host: libvirt.virConnect, volume: libvirt.virStorageVol, file: BinaryIO, offset: int, length: int,
                    seconds: float | None) -> int:
    """How many bytes came: all of `length`, unless the time was over."""
    stream, received, began = host.newStream(), 0, time.monotonic()
    volume.download(stream, offset, length)
    try:
        while chunk := stream.recv(_CHUNK):
            file.write(chunk)
            received += len(chunk)
            if seconds is not None and time.monotonic() - began >= seconds and received < length:
                stream.abort()  # the rest is not wanted now
                return received
    except BaseException:
        stream.abort()
        raise
    stream.finish()
    return received
