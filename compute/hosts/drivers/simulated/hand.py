"""What happens to a host from outside the portal, for tests, demonstrations and the crash harness.

Nothing here goes through a fence or meets a fault, and nothing outside tests and tools may use it.
"""
import time
from typing import Any
from uuid import UUID, uuid4

from ..contract import Cause, Power
from .hypervisor import cut_power, forget, save
from .snapshots import volume_at
from .store import open_store
from .verbs import EVERY_VERB


class SimulatedHost:
    """One simulated host, seen by the person who stands before it."""

    def __init__(self, uri: str) -> None:
        self._store = open_store(uri)

    def census(self) -> dict[str, Any]:
        """What there is: {"domains": {uuid: power}, "volumes": {path: capacity}}, to compare before and after."""
        state = self._store.read()
        volumes = {f"{path}/{name}": volume["capacity"] for path, pool in state["pools"].items()
                   for name, volume in pool["volumes"].items()}
        return {"domains": {uuid: record["power"] for uuid, record in state["domains"].items()}, "volumes": volumes}

    def resize(self, **sizes: int) -> None:
        """Change `vcpus`, `memory_mib`, `disk_gib` or `accelerates`."""
        with self._store.change() as state:
            state["host"] |= sizes

    def set_up(self, **facts: Any) -> None:
        """What the host's commands answer: `versions` (None for what is not installed), `chassis`, `chassis_status`,
        `user_id`, or `refuses="login"` and `refuses="host key"`."""
        with self._store.change() as state:
            state |= facts

    def fail(self, verb: str = EVERY_VERB, *, kind: str = "error", times: int = 1, seconds: float = 0) -> None:
        """Let the next `times` calls of `verb` fail; the kinds are in `verbs`."""
        with self._store.change() as state:
            state["faults"].append({"verb": verb, "kind": kind, "times": times, "seconds": seconds})

    def write(self, path: str, text: str) -> None:
        """What is written in a volume, by whoever has it."""
        with self._store.change() as state:
            volume_at(state, path)["written"] = text

    def read(self, path: str) -> str:
        return volume_at(self._store.read(), path).get("written", "")

    def heal(self) -> None:
        """Forget all faults that were asked for."""
        with self._store.change() as state:
            state |= {"faults": [], "unreachable": False}

    def set_unreachable(self, unreachable: bool = True) -> None:
        with self._store.change() as state:
            state["unreachable"] = unreachable

    def power_off_from_inside(self, uuid: UUID) -> None:
        """The guest shuts itself down."""
        with self._store.change() as state:
            cut_power(state, str(uuid), cause=Cause.GUEST)

    def work(self, uuid: UUID, **more: int) -> None:
        """The guest uses so much more of what is counted, by the counters' names."""
        with self._store.change() as state:
            used = state["domains"][str(uuid)].setdefault("used", {"epoch": 1})
            used |= {name: used.get(name, 0) + amount for name, amount in more.items()}

    def crash(self, uuid: UUID) -> None:
        """The hypervisor process of the domain dies."""
        with self._store.change() as state:
            cut_power(state, str(uuid), Power.CRASHED, Cause.CRASH)

    def pause(self, uuid: UUID, cause: Cause = Cause.HAND) -> None:
        """Somebody, or the hypervisor itself, halts it."""
        with self._store.change() as state:
            state["domains"][str(uuid)] |= {"power": Power.PAUSED, "cause": cause}

    def starve(self, uuid: UUID) -> str:
        """The guest stops to feed the watchdog that it runs with; what that does, empty where it has none."""
        with self._store.change() as state:
            record = state["domains"][str(uuid)]
            does = record["running"].get("watchdog", "")
            if does == "poweroff":
                cut_power(state, str(uuid), Power.CRASHED, Cause.CRASH)  # as QEMU has it said
            elif does == "pause":
                record |= {"power": Power.PAUSED, "cause": Cause.WATCHDOG}
            return does

    def resume(self, uuid: UUID) -> None:
        with self._store.change() as state:
            state["domains"][str(uuid)] |= {"power": Power.RUNNING, "cause": Cause.UNKNOWN}

    def suspend(self, uuid: UUID) -> None:
        """Its memory is saved, as hosts do that shut down."""
        with self._store.change() as state:
            save(state, str(uuid))

    def lose_memory(self, uuid: UUID) -> None:
        """Somebody removes what was saved of it."""
        with self._store.change() as state:
            cut_power(state, str(uuid))

    def undefine(self, uuid: UUID) -> None:
        """Somebody removes the definition; a running domain keeps running, without one."""
        with self._store.change() as state:
            record = state["domains"][str(uuid)]
            record["defined"] = None
            if not record["running"]:
                del state["domains"][str(uuid)]

    def destroy(self, uuid: UUID) -> None:
        """Somebody cuts the power and removes the definition."""
        with self._store.change() as state:
            forget(state, str(uuid))

    def ignore_acpi(self, uuid: UUID, ignores: bool = True) -> None:
        """The guest does not listen to its power button."""
        with self._store.change() as state:
            state["domains"][str(uuid)]["ignores_acpi"] = ignores

    def keep_memory(self, uuid: UUID, keeps: bool = True) -> None:
        """The guest gives no memory back that is taken from it."""
        with self._store.change() as state:
            state["domains"][str(uuid)]["keeps_memory"] = keeps

    def keep_devices(self, uuid: UUID, keeps: bool = True) -> None:
        """The guest does not let go of what is unplugged."""
        with self._store.change() as state:
            state["domains"][str(uuid)]["keeps_devices"] = keeps

    def let_go(self, uuid: UUID, path: str) -> None:
        """The guest lets go of a disk, long after it was asked to."""
        with self._store.change() as state:
            running = state["domains"][str(uuid)]["running"]
            del running["opens"][path]
            running["slots"] += 1

    def install_agent(self, uuid: UUID, *cards: tuple[str, str, list[str]], users: tuple[str, ...] = ("root",)) -> None:
        """A guest agent answers from now on, for these users and with these cards: name, MAC, addresses with their prefix."""
        with self._store.change() as state:
            state["domains"][str(uuid)]["agent"] = {"cards": [list(card) for card in cards], "users": dict.fromkeys(users, ""),
                                                    "frozen": False, "clock_set": 0}

    def remove_agent(self, uuid: UUID) -> None:
        with self._store.change() as state:
            state["domains"][str(uuid)]["agent"] = None

    def agent(self, uuid: UUID) -> dict[str, Any]:
        """What was done to the guest through its agent: `users` with their hashes, `frozen`, `clock_set`."""
        return self._store.read()["domains"][str(uuid)]["agent"]

    def disks(self, uuid: UUID) -> set[str]:
        """The files that what runs has open itself, not those below them."""
        return {path for path, mode in self._store.read()["domains"][str(uuid)]["running"]["opens"].items() if mode == "w"}

    def size(self, uuid: UUID) -> tuple[int, int]:
        """Processors and memory (MiB) of what runs."""
        running = self._store.read()["domains"][str(uuid)]["running"]
        return running["vcpus"], running["memory_mib"]

    def add_foreign(self, name: str, *, memory_mib: int = 512, running: bool = True) -> UUID:
        """A domain that is not ours."""
        uuid = uuid4()
        defined = {"generation": None, "vcpus": 1, "max_vcpus": 1, "memory_mib": memory_mib, "max_memory_mib": memory_mib,
                   "opens": {}, "files": [], "has_screen": False}
        with self._store.change() as state:
            state["domains"][str(uuid)] = {
                "name": name, "instance": None, "defined": defined, "ignores_acpi": False,
                "running": defined | {"vnc_port": 0} if running else None,
                "power": Power.RUNNING if running else Power.OFF}
        return uuid

    def plug(self, tap: str, port: UUID) -> None:
        """Somebody plugs a tap in that no domain of ours has."""
        with self._store.change() as state:
            state.setdefault("taps", {})[tap] = {"port": str(port), "domain": ""}

    def pull(self, tap: str) -> None:
        """Somebody takes a tap off its bridge."""
        with self._store.change() as state:
            del state["taps"][tap]

    def open_way_out(self, name: str, number: int = 7) -> None:
        """OVN makes a port of the public bridge by which instances go out."""
        with self._store.change() as state:
            state.setdefault("ways_out", {})[name] = number

    def send(self, address: str, size: int, *, packets: int = 1, number: int = 7) -> None:
        """An instance sends so many bytes to the outside as this address, by the way out of this number."""
        with self._store.change() as state:
            for flow in (flow for flows in state.get("flows", {}).values() for flow in flows.values()):
                if (flow["address"], flow["port"]) == (address, number):
                    flow["bytes"] += size
                    flow["packets"] += packets

    def restart_switch(self, *, keeps_flows: bool = False) -> None:
        """Open vSwitch starts anew; some start scripts put its flows back, which then count from nothing."""
        with self._store.change() as state:
            for flows in state.get("flows", {}).values():
                for flow in flows.values():
                    flow |= {"bytes": 0, "packets": 0, "since": time.time()}
                if not keeps_flows:
                    flows.clear()

    def lose_volume(self, path: str) -> None:
        """Somebody deletes the file of a volume."""
        folder, _, name = path.rpartition("/")
        with self._store.change() as state:
            del state["pools"][folder]["volumes"][name]
