"""The simulated hypervisor: it documents, by refusing, what a real one does.

It does not start what is not defined, what does not fit into its memory, whose files are missing, or whose disks
another running domain has open (QEMU's image locks). No test hook may live here (`hand` has them).
"""
from collections.abc import Sequence
from itertools import count
from uuid import NAMESPACE_DNS, UUID, uuid5

from portal.kernel.errors import HostFault

from .. import reasons
from ..contract import (
    Capabilities,
    Cause,
    DomainView,
    Inventory,
    Measurement,
    OnBytes,
    Power,
    SerialLine,
    Trait,
    VncAddress,
)
from ..spec import Disk, Domain, Interface, Watchdog
from . import snapshots
from .agent import Agent
from .records import Record
from .records import ours as _ours
from .records import require_running as _require_running
from .store import State

COUNTERS = tuple(name for name in Measurement._fields if name not in (
    "domain", "epoch", "memory_bytes", "used_bytes", "rss_bytes"))


class SimulatedHypervisor(Agent):
    capabilities = Capabilities(has_vnc=True, has_serial=False, pauses=True, saves_memory=True, hot_adds_vcpus=True,
                                hot_adds_memory=True, hot_plugs=True, takes_snapshots=True, has_agent=True)

    def inventory(self) -> Inventory:
        host = self._look("inventory")["host"]
        return Inventory(
            hostname=host["hostname"], vcpus=host["vcpus"], memory_mib=host["memory_mib"], architecture="x86_64",
            hypervisor="simulated", hypervisor_version="1", driver_version="1",
            host_uuid=uuid5(NAMESPACE_DNS, host["hostname"]), traits=frozenset(map(Trait, host.get("traits", Trait))))

    def accelerates(self) -> bool:
        return self._look("accelerates")["host"].get("accelerates", True)

    def domains(self) -> list[DomainView]:
        state = self._look("domains")
        return [_view(uuid, record) for uuid, record in state["domains"].items()]

    def domain(self, uuid: UUID) -> DomainView | None:
        record = self._look("domain")["domains"].get(str(uuid))
        return _view(str(uuid), record) if record else None

    def measurements(self) -> list[Measurement]:
        state = self._look("measurements")
        return [_measured(uuid, record) for uuid, record in state["domains"].items() if record["running"]]

    def ensure_defined(self, spec: Domain) -> None:
        with self._verb("ensure_defined") as state:
            record = _ours(state, spec.uuid, spec.generation)
            if any(other["name"] == spec.name for uuid, other in state["domains"].items() if uuid != str(spec.uuid)):
                raise HostFault(reasons.ALREADY_EXISTS)
            if record is None:
                record = {"running": None, "power": Power.OFF, "ignores_acpi": False}
                state["domains"][str(spec.uuid)] = record
            record |= {"name": spec.name, "instance": str(spec.instance), "defined": _definition(spec)}

    def ensure_started(self, uuid: UUID, generation: int) -> None:
        with self._verb("ensure_started") as state:
            record = _ours(state, uuid, generation)
            if record and record["running"]:
                return
            if not record or not record["defined"] or record["defined"]["generation"] != generation:
                raise HostFault(reasons.NOT_DEFINED)
            _run(state, uuid, record, record["defined"])

    def request_shutdown(self, uuid: UUID, generation: int) -> None:
        with self._verb("request_shutdown") as state:
            record = _ours(state, uuid, generation)
            if record and record["power"] == Power.RUNNING and not record["ignores_acpi"]:
                cut_power(state, str(uuid))

    def ensure_stopped(self, uuid: UUID, generation: int) -> None:
        with self._verb("ensure_stopped") as state:
            if _ours(state, uuid, generation):
                cut_power(state, str(uuid))

    def ensure_absent(self, uuid: UUID, generation: int) -> None:
        with self._verb("ensure_absent") as state:
            if _ours(state, uuid, generation):
                forget(state, str(uuid))

    def ensure_paused(self, uuid: UUID, generation: int) -> None:
        with self._verb("ensure_paused") as state:
            record = _require_running(state, uuid, generation)
            if record["power"] != Power.PAUSED:  # what has halted it already stays the cause
                record |= {"power": Power.PAUSED, "cause": Cause.HAND}

    def ensure_suspended(self, uuid: UUID, generation: int) -> bool:
        with self._verb("ensure_suspended") as state:
            record = _ours(state, uuid, generation)
            if not record or not (record["running"] or record.get("saved")):
                raise HostFault(reasons.NOT_RUNNING)
            if record["running"]:
                save(state, str(uuid))
        return True

    def ensure_resumed(self, uuid: UUID, generation: int) -> bool:
        with self._verb("ensure_resumed") as state:
            record = _ours(state, uuid, generation)
            if not record or not (record["running"] or record.get("saved")):
                raise HostFault(reasons.NOTHING_SAVED)
            if not record["running"]:
                _run(state, uuid, record, record["saved"])
            record |= {"power": Power.RUNNING, "cause": Cause.UNKNOWN}
        return True

    def ensure_size(self, uuid: UUID, generation: int, *, vcpus: int, memory_mib: int) -> None:
        with self._verb("ensure_size") as state:
            record = _require_running(state, uuid, generation)
            has = record["running"]
            if vcpus > has["max_vcpus"] or memory_mib > has["max_memory_mib"]:
                raise HostFault(reasons.NO_HEADROOM)
            if record.get("keeps_memory") and memory_mib < has["memory_mib"]:
                raise HostFault(reasons.GUEST_KEEPS_IT, transient=True)
            _require_memory(state, {"memory_mib": memory_mib - has["memory_mib"]})
            record["running"] = has | {"vcpus": vcpus, "memory_mib": memory_mib}

    def ensure_plugged(self, uuid: UUID, generation: int, device: Disk | Interface) -> None:
        with self._verb("ensure_plugged") as state:
            has = _require_running(state, uuid, generation)["running"]
            if _is_plugged(has, device):
                return
            if has["slots"] < 1:
                raise HostFault(reasons.NO_SLOT)
            has["slots"] -= 1
            if isinstance(device, Interface):
                has["nics"] = [*has["nics"], str(device.interface_id)]
                _tap_in(state, uuid, str(device.interface_id))
            else:
                opened = _opened(device)
                _require_files(state, {"files": list(opened)})
                _require_locks(state, {"opens": opened}, but=has)
                has["opens"] = has["opens"] | opened

    def ensure_unplugged(self, uuid: UUID, generation: int, device: Disk | Interface) -> bool:
        with self._verb("ensure_unplugged") as state:
            record = _ours(state, uuid, generation)
            if not record or not record["running"] or not _is_plugged(record["running"], device):
                return True
            if record.get("keeps_devices"):
                return False
            has = record["running"]
            has["slots"] += 1
            if isinstance(device, Interface):
                has["nics"] = [port for port in has["nics"] if port != str(device.interface_id)]
                state.get("taps", {}).pop(_tap(str(device.interface_id)), None)
            else:
                has["opens"] = {path: mode for path, mode in has["opens"].items() if path != device.file}
        return True

    def ensure_disk_size(self, uuid: UUID, generation: int, disk: Disk, *, size: int) -> None:
        with self._verb("ensure_disk_size") as state:
            if not _is_plugged(_require_running(state, uuid, generation)["running"], disk):
                raise HostFault(reasons.NO_VOLUME)
            folder, _, name = disk.file.rpartition("/")
            volume = state["pools"][folder]["volumes"][name]
            if volume["capacity"] > size:
                raise HostFault(reasons.SHRINKS)
            volume["capacity"] = size

    def ensure_snapshot(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str], *, memory: bool) -> bool:
        with self._verb("ensure_snapshot") as state:
            running = _require_running(state, uuid, generation)["running"]
            volumes = snapshots.of_running(state, running, files)
            if not all(str(name) in volume.get("snapshots", ()) for volume in volumes):
                for number, volume in enumerate(volumes):
                    snapshots.take(volume, str(name), memory=memory and not number)
        return True

    def ensure_snapshot_absent(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str]) -> list[str]:
        with self._verb("ensure_snapshot_absent") as state:
            running = _require_running(state, uuid, generation)["running"]
            for volume in snapshots.of_running(state, running, [file for file in files if file in running["opens"]]):
                snapshots.drop(volume, str(name))
        return [file for file in files if file not in running["opens"]]

    def ensure_loaded(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str], *, shape: str, attempt: UUID) -> bool:
        with self._verb("ensure_loaded") as state:
            record = _ours(state, uuid, generation)
            wanted = record and (record["running"] or record["defined"])
            if not wanted or wanted["generation"] != generation:
                raise HostFault(reasons.NOT_DEFINED)
            if record["running"] and wanted.get("loaded") == str(attempt):
                return True
            if snapshots.shape_of(wanted) != shape:
                raise HostFault(reasons.OTHER_DEVICES)
            volumes = [snapshots.volume_at(state, file) for file in files]
            if not volumes[0].get("snapshots", {}).get(str(name), {}).get("memory"):
                raise HostFault(reasons.NO_SNAPSHOT)
            if not record["running"]:
                _run(state, uuid, record, wanted)
            for volume in volumes:
                snapshots.apply(volume, str(name))
            record["running"] |= {"loaded": str(attempt)}
            record |= {"power": Power.RUNNING, "cause": Cause.UNKNOWN}
        return True

    def shape(self, uuid: UUID, generation: int) -> str:
        with self._verb("shape") as state:
            return snapshots.shape_of(_require_running(state, uuid, generation)["running"])

    def vnc(self, uuid: UUID) -> VncAddress | None:
        record = self._look("vnc")["domains"].get(str(uuid))
        if not record or not record["running"] or not record["running"]["has_screen"]:
            return None
        return VncAddress(host="127.0.0.1", port=record["running"]["vnc_port"])

    def open_serial(self, uuid: UUID, on_bytes: OnBytes, *, takes_over: bool = False) -> SerialLine:
        """Nobody sits behind it."""
        self._look("open_serial")
        raise HostFault(reasons.NOT_SUPPORTED)

    def taps(self, uuid: UUID) -> dict[UUID, str]:
        record = self._look("taps")["domains"].get(str(uuid))
        running = (record and record["running"]) or {}
        return {UUID(port): _tap(port) for port in running.get("nics", ())}


def cut_power(state: State, uuid: str, power: Power = Power.OFF, cause: Cause = Cause.UNKNOWN) -> None:
    """The domain no longer runs; one that was never defined is gone with it."""
    record = state["domains"][uuid]
    _unplug(state, record)
    record |= {"running": None, "saved": None, "power": power, "cause": cause}
    if record["defined"] is None:
        del state["domains"][uuid]


def save(state: State, uuid: str) -> None:
    """What it runs is kept, and its power is cut."""
    saved = state["domains"][uuid]["running"]
    cut_power(state, uuid, Power.SUSPENDED)
    state["domains"][uuid]["saved"] = saved


def forget(state: State, uuid: str) -> None:
    """The domain is gone, running or not."""
    _unplug(state, state["domains"].pop(uuid))


def _tap(port: str) -> str:
    """Linux allows 15 characters."""
    return f"tap{port[:11]}"


def _unplug(state: State, record: Record) -> None:
    """Its taps go with its process, whoever had plugged them in."""
    for port in (record["running"] or {}).get("nics", ()):
        state.get("taps", {}).pop(_tap(port), None)


def _run(state: State, uuid: UUID, record: Record, wanted: Record) -> None:
    """It runs as `wanted`, if the host can have that."""
    _require_memory(state, wanted)
    _require_files(state, wanted)
    _require_locks(state, wanted)
    record |= {"running": wanted | {"vnc_port": _free_port(state)}, "saved": None, "power": Power.RUNNING, "cause": Cause.UNKNOWN,
               "used": {"epoch": record.get("used", {}).get("epoch", 0) + 1}}
    for port in wanted["nics"]:
        _tap_in(state, uuid, port)


def _tap_in(state: State, uuid: UUID, port: str) -> None:
    state.setdefault("taps", {})[_tap(port)] = {"port": port, "domain": str(uuid)}


def _definition(spec: Domain) -> Record:
    opened: dict[str, str] = {}
    for disk in spec.disks:
        opened |= _opened(disk)
    nics = [str(device.interface_id) for device in spec.devices if isinstance(device, Interface)]
    return {"generation": spec.generation, "vcpus": spec.vcpus, "memory_mib": spec.memory_mib, "opens": opened,
            "max_vcpus": spec.max_vcpus, "max_memory_mib": (spec.max_memory_kib or 0) // 1024 or spec.memory_mib,
            "files": list(spec.files), "has_screen": spec.has_screen, "nics": nics, "slots": spec.free_slots,
            "watchdog": _watchdog(spec)}


def _watchdog(spec: Domain) -> str:
    """What it does; empty where there is none."""
    return next((one.action for one in spec.devices if isinstance(one, Watchdog)), "")


def _opened(disk: Disk) -> dict[str, str]:
    """Its files, and how they are opened."""
    own, *below = disk.files
    return dict.fromkeys(below, "r") | {own: "r" if disk.readonly else "w"}


def _is_plugged(running: Record, device: Disk | Interface) -> bool:
    return str(device.interface_id) in running["nics"] if isinstance(device, Interface) else device.file in running["opens"]


def _view(uuid: str, record: Record) -> DomainView:
    known = record["defined"] or record["running"]
    return DomainView(uuid=UUID(uuid), name=record["name"], power=Power(record["power"]),
                      generation=known["generation"], persistent=record["defined"] is not None,
                      cause=Cause(record.get("cause", "")))


def _measured(uuid: str, record: Record) -> Measurement:
    """A simulated guest does nothing that a hand does not make it do."""
    memory, used = record["running"]["memory_mib"] * 1024 ** 2, record.get("used", {})
    nothing = {"epoch": 0, "memory_bytes": memory, "used_bytes": memory // 2, "rss_bytes": memory}
    return Measurement(domain=uuid, **(dict.fromkeys(COUNTERS, 0) | nothing | used))


def _running(state: State) -> list[Record]:
    return [record["running"] for record in state["domains"].values() if record["running"]]


def _require_memory(state: State, wanted: Record) -> None:
    used = sum(one["memory_mib"] for one in _running(state))
    if used + wanted["memory_mib"] > state["host"]["memory_mib"]:
        raise HostFault(reasons.NO_MEMORY)


def _require_files(state: State, wanted: Record) -> None:
    present = {f"{path}/{name}" for path, pool in state["pools"].items() for name in pool["volumes"]}
    if not present.issuperset(wanted["files"]):
        raise HostFault(reasons.FILE_MISSING)


def _require_locks(state: State, wanted: Record, but: Record | None = None) -> None:
    """One writer or many readers, as QEMU's image locks have it; `but` is who asks."""
    for other in _running(state):
        if other is but:
            continue
        for path, mode in wanted["opens"].items():
            if "w" in (mode, other["opens"].get(path, "")) and path in other["opens"]:
                raise HostFault(reasons.IMAGE_LOCKED, transient=True)


def _free_port(state: State) -> int:
    taken = {one["vnc_port"] for one in _running(state)}
    return next(port for port in count(5900) if port not in taken)
