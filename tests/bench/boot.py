"""From "accepted" to "running on the host": the portal beside a person who does the same by libvirt, on the same host.

Both make a linked clone of the same image, a NoCloud drive, the same definition, and start it; both ends are the moment
at which libvirt says "started". The person's connection is open already, as the portal's are.
"""
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import libvirt
import pycdlib
from lxml import etree

from tests.bench.figures import Figure, at_most, duration, median, ratio, spread

ROUNDS, WARMED = 9, 4
LIMIT_S = 60
POOL = "mains"
META = b"instance-id: by-hand\nlocal-hostname: by-hand\n"
USER = b"#cloud-config\nhostname: by-hand\n"


def measure() -> list[Figure]:
    from compute.lab import Lab
    from tests.stories.portal import Portal

    state = Path(os.environ["MAINS_STATE_DIR"])
    facts = Lab(os.environ["MAINS_LAB"], state).up()[0]
    portal = Portal(state)
    try:
        portal.start()
        with Person(facts.uri) as person:
            try:
                _by_portal(portal, person, keep=person.learn)  # brings the image
                for _worker in range(WARMED):  # opens the connections of all of the worker's processes
                    _by_portal(portal, person)
                rounds = [_round(portal, person, turn) for turn in range(ROUNDS)]
            finally:
                person.forget_images(portal)
    finally:
        portal.stop()
    return _figures(rounds)


def _round(portal, person: "Person", turn: int) -> dict:
    """Both, the first of the last round being the second of this one."""
    found: dict = {}
    sides: list[Callable[[], dict]] = [person.boot, lambda: _by_portal(portal, person)]
    for side in sides[:: 1 if turn % 2 else -1]:
        found |= side()
    return found


def _by_portal(portal, person: "Person", keep: Callable[[str], None] | None = None) -> dict:
    """Seconds from the answer 202 to the host's event; and where the operation was when."""
    operation = portal.create("bench")
    accepted = time.monotonic()
    target = operation["target"]["id"]
    started = person.started(UUID(target))
    settled = portal.finish(operation)
    assert settled["state"] == "succeeded", settled
    [row] = portal.query("SELECT created_at, started_at, finished_at, history FROM kernel_operation WHERE id = %s",
                         operation["id"])
    if keep:
        keep(target)
    removed = portal.finish(portal.api("DELETE", f"instances/{target}/?purge=true")[1])
    assert removed["state"] == "succeeded", removed
    return {"portal": started - accepted, "row": row}


def _figures(rounds: list[dict]) -> list[Figure]:
    portal, hand = [found["portal"] for found in rounds], [found["hand"] for found in rounds]
    return [at_most("boot: accepted → running", ratio(portal, hand), 1.5,
                    note=f" ({duration(portal)}; {spread(portal)} s)",
                    compared=f"by hand ({duration(hand)}; {spread(hand)} s)"),
            Figure(name="boot: the portal's steps", value=_medians([_steps(*found["row"]) for found in rounds])),
            Figure(name="boot: the hand's steps", value=_medians([found["steps"] for found in rounds]))]


def _steps(created: datetime, claimed: datetime, finished: datetime, history: list[dict]) -> dict[str, float]:
    """Seconds of every step; the first is from the row's creation to a worker's claim."""
    moments = {"claim": claimed, **{entry["step"]: datetime.fromisoformat(entry["at"]) for entry in history},
               "settle": finished}
    return _spans(created.timestamp(), {name: at.timestamp() for name, at in moments.items()})


def _spans(begun: float, moments: dict[str, float]) -> dict[str, float]:
    ends = [begun, *moments.values()]
    return {name: end - before for name, before, end in zip(moments, ends, ends[1:], strict=False)}


def _medians(rounds: list[dict[str, float]]) -> str:
    return ", ".join(f"{name} {1000 * median([found[name] for found in rounds]):.0f}" for name in rounds[0]) + " ms"


class Person:
    """Somebody with one open connection to the host and a definition to copy."""

    def __init__(self, uri: str) -> None:
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_loop, daemon=True).start()
        self._host = libvirt.open(uri)
        self._seen: dict[UUID, float] = {}
        self._news = threading.Condition()
        self._host.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._note, None)

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_error: object) -> None:
        self._host.close()

    def _note(self, _host, domain, event: int, _detail: int, _opaque) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            with self._news:
                self._seen.setdefault(UUID(domain.UUIDString()), time.monotonic())
                self._news.notify_all()

    def started(self, uuid: UUID) -> float:
        """When the host said that the domain runs."""
        with self._news:
            assert self._news.wait_for(lambda: uuid in self._seen, LIMIT_S), f"{uuid} does not run after {LIMIT_S} s"
            return self._seen[uuid]

    def learn(self, uuid: str) -> None:
        """What the portal's domain is made of, to make the same by hand."""
        domain = self._host.lookupByUUIDString(uuid)
        self._model = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        disk = etree.fromstring(self._model).find("devices/disk[@type='file']")
        self._clone = self._host.storageVolLookupByPath(disk.find("source").get("file"))
        described = etree.fromstring(self._clone.XMLDesc())
        self._size, self._base = described.findtext("capacity"), described.findtext("backingStore/path")

    def boot(self) -> dict:
        """Seconds from the decision to the host's event; nothing is left afterwards."""
        uuid, moments, begun = uuid4(), {}, time.monotonic()
        pool = self._host.storagePoolLookupByName(POOL)
        clone = pool.createXML(self._clone_xml(f"hand-{uuid}.qcow2"))
        moments["volume"] = time.monotonic()
        seed = self._upload(pool, f"hand-{uuid}.iso", _drive())
        moments["seed"] = time.monotonic()
        domain = self._host.defineXML(self._domain_xml(uuid, clone.path(), seed.path()))
        moments["define"] = time.monotonic()
        domain.create()
        moments["boot"] = time.monotonic()
        took = self.started(uuid) - begun
        domain.destroy()
        domain.undefine()
        for volume in (clone, seed):
            volume.delete()
        return {"hand": took, "steps": _spans(begun, moments)}

    def _clone_xml(self, name: str) -> str:
        volume = etree.Element("volume")
        etree.SubElement(volume, "name").text = name
        etree.SubElement(volume, "capacity").text = self._size
        etree.SubElement(etree.SubElement(volume, "target"), "format", type="qcow2")
        backing = etree.SubElement(volume, "backingStore")
        etree.SubElement(backing, "path").text = self._base
        etree.SubElement(backing, "format", type="qcow2")
        return etree.tostring(volume, encoding="unicode")

    def _upload(self, pool: libvirt.virStoragePool, name: str, content: bytes) -> libvirt.virStorageVol:
        volume = etree.Element("volume")
        etree.SubElement(volume, "name").text = name
        etree.SubElement(volume, "capacity").text = str(len(content))
        etree.SubElement(etree.SubElement(volume, "target"), "format", type="raw")
        made = pool.createXML(etree.tostring(volume, encoding="unicode"))
        stream = self._host.newStream()
        made.upload(stream, 0, len(content))
        while content:
            content = content[stream.send(content[:262_144]):]
        stream.finish()
        return made

    def _domain_xml(self, uuid: UUID, clone: str, seed: str) -> str:
        domain = etree.fromstring(self._model)
        domain.find("name").text, domain.find("uuid").text = f"hand-{uuid}", str(uuid)
        metadata = domain.find("metadata")
        if metadata is not None:
            domain.remove(metadata)
        sources = [disk.find("source") for disk in domain.findall("devices/disk")]
        for source, path in zip(sources, (clone, seed), strict=True):
            source.set("file", path)
        return etree.tostring(domain, encoding="unicode")

    def forget_images(self, portal) -> None:
        """The image's files that this run's portal brought to the host: its database is gone in a moment."""
        pool = self._host.storagePoolLookupByName(POOL)
        for (found,) in portal.query("SELECT locators FROM storage_imagecopy"):
            for path in (found if isinstance(found, dict) else json.loads(found)).values():
                pool.storageVolLookupByName(Path(path).name).delete()


def _drive() -> bytes:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, short, content in (("meta-data", "META", META), ("user-data", "USER", USER)):
        iso.add_fp(BytesIO(content), len(content), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
    out = BytesIO()
    iso.write_fp(out)
    iso.close()
    return out.getvalue()


def _loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
