"""The catalogue of host commands, answered from a simulated host's state: one answer for each entry.

What is not set is that of a healthy host: current versions, a chassis that is connected, the public network at hand.
"""
import time
from collections.abc import Callable
from typing import Any

from compute.hosts.commands.catalogue import (
    CATALOGUE,
    Chassis,
    Counted,
    Counting,
    DiskSpace,
    KeptSnapshots,
    SwitchPort,
    TapPort,
)
from compute.hosts.commands.contract import Answer, Command, ProgramAbsent
from compute.hosts.drivers.ssh import LoginRefused, OtherHostKey
from portal.kernel.errors import HostFault

from .. import reasons
from . import snapshots
from .store import State
from .verbs import Simulated

_GIB = 1024 ** 3
VERSIONS = {"kernel": "6.1.0", "os": "Simulated", "libvirt": "9.0.0", "qemu": "7.2.0", "ovs": "3.1.0", "ovn": "23.03.1"}
# How `hand` says that nobody gets in.
_REFUSALS = {"login": LoginRefused, "host key": OtherHostKey}


class SimulatedCommands(Simulated):
    def run(self, command: Command[Answer], *, still: Callable[[], None] | None = None, **values: object) -> Answer:
        if CATALOGUE.get(command.name) is not command:
            raise ValueError(f"{command.name} is not in the catalogue")
        command.filled(**values)
        with self._verb(f"ssh.{command.name}") as state:
            if state.get("refuses") in _REFUSALS:
                raise _REFUSALS[state["refuses"]]()
            return _answer_of(command)(state, **values)


def _answer_of(command: Command) -> Callable[..., Any]:
    kind, _dot, program = command.name.partition(".")
    return (lambda state: _version(state, program)) if kind == "version" else _ANSWERS[command.name]


def _version(state: State, program: str) -> str:
    found = (VERSIONS | state.get("versions", {}))[program]
    if found is None:
        raise ProgramAbsent
    return found


def _login(state: State) -> int:
    return state.get("user_id", 0)


def _disk_space(state: State, path: str) -> DiskSpace:
    pool = state["pools"].get(path.rstrip("/"))
    if pool is None:
        raise HostFault(reasons.COMMAND_FAILED)
    capacity = state["host"]["disk_gib"] * _GIB
    used = sum(volume["allocation"] for volume in pool["volumes"].values())
    return DiskSpace(capacity=capacity, available=max(0, capacity - used))


def _chassis(state: State) -> Chassis:
    _version(state, "ovs")
    usual = {"name": state["host"]["hostname"], "remote": "ssl:192.0.2.1:6642", "encap_ip": "192.0.2.2",
             "mappings": {"public": "br-ex"}}
    return Chassis(**(usual | state.get("chassis", {})))


def _chassis_status(state: State) -> str:
    _version(state, "ovn")
    return state.get("chassis_status", "connected")


def _tap_ports(state: State) -> list[TapPort]:
    _version(state, "ovs")
    return [TapPort(name=name, **facts) for name, facts in state.get("taps", {}).items()]


def _plug_port(state: State, tap: str, port: object) -> None:
    _version(state, "ovs")
    known = state.setdefault("taps", {}).get(tap, {"domain": ""})
    state["taps"][tap] = known | {"port": str(port)}


def _unplug_port(state: State, tap: str) -> None:
    _version(state, "ovs")
    state.setdefault("taps", {}).pop(tap, None)


def _switch_ports(state: State) -> list[SwitchPort]:
    """Taps come after the ways out, which a hand makes: a simulated host has no OVN that would."""
    ways = [SwitchPort(name=name, number=number) for name, number in state.get("ways_out", {}).items()]
    taps = [SwitchPort(name=tap.name, number=len(ways) + place, port=tap.port)
            for place, tap in enumerate(_tap_ports(state), 1)]
    return ways + taps


def _flows(state: State, bridge: str) -> dict[str, dict[str, Any]]:
    """number → flow, of a bridge that is there."""
    if bridge not in _chassis(state).mappings.values():
        raise HostFault(reasons.COMMAND_FAILED)
    return state.setdefault("flows", {}).setdefault(bridge, {})


def _counted(state: State, bridge: str) -> list[Counted]:
    return [Counted(number=int(number), port=flow["port"], address=flow["address"], packets=flow["packets"],
                    bytes=flow["bytes"], age_s=time.time() - flow["since"]) for number, flow in _flows(state, bridge).items()]


def _count(state: State, bridge: str, flow: Counting) -> None:
    """Of flows that match the same there is one, and the newer counts from nothing."""
    flows = _flows(state, bridge)
    for number, other in list(flows.items()):
        if (other["port"], other["address"]) == (flow.port, flow.address):
            del flows[number]
    flows[str(flow.number)] = {"port": flow.port, "address": flow.address, "packets": 0, "bytes": 0, "since": time.time()}


def _uncount(state: State, bridge: str, number: int) -> None:
    _flows(state, bridge).pop(str(number), None)


def _closed(state: State, path: str) -> snapshots.Volume:
    """A volume that no running domain has open."""
    if snapshots.is_open(state, path):
        raise HostFault(reasons.COMMAND_FAILED)
    return snapshots.volume_at(state, path)


def _kept_snapshots(state: State, path: str) -> KeptSnapshots:
    volume = _closed(state, path)
    return KeptSnapshots(size=volume["capacity"], names=frozenset(volume.get("snapshots", ())))


def _copy_snapshot(state: State, path: str, name: object, target: str) -> None:
    volume, (folder, _, file) = _closed(state, path), target.rpartition("/")
    kept = volume.get("snapshots", {}).get(str(name))
    if kept is None:
        raise HostFault(reasons.COMMAND_FAILED)
    state["pools"][folder]["volumes"][file] = {
        "capacity": kept["capacity"], "allocation": volume["allocation"], "format": "qcow2", "backing": None}


def _console_log(state: State, domain: object) -> str:
    """What `hand` said that the guest wrote."""
    return state.get("console_logs", {}).get(str(domain), "")


def _remove_console_log(state: State, domain: object) -> None:
    state.get("console_logs", {}).pop(str(domain), None)


_ANSWERS: dict[str, Callable[..., Any]] = {
    "login": _login, "disk_space": _disk_space, "chassis": _chassis, "chassis_status": _chassis_status,
    "tap_ports": _tap_ports, "plug_port": _plug_port, "unplug_port": _unplug_port,
    "switch_ports": _switch_ports, "counted": _counted, "count": _count, "uncount": _uncount,
    "kept_snapshots": _kept_snapshots, "copy_snapshot": _copy_snapshot,
    "take_snapshot": lambda state, path, name: snapshots.take(_closed(state, path), str(name)),
    "apply_snapshot": lambda state, path, name: snapshots.apply(_closed(state, path), str(name)),
    "drop_snapshot": lambda state, path, name: snapshots.drop(_closed(state, path), str(name)),
    "console_log": _console_log, "remove_console_log": _remove_console_log,
}
