"""Real guests as their tenant uses them: made by the API, reached with the tenant's key at their floating IP."""
import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.stories.portal import Portal

OPTIONS = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
           "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
# From power-on to a login by SSH; under emulation, with a dozen of them starting on two cores.
BOOT_LIMIT_S = 120
Subject, Answer = TypeVar("Subject"), TypeVar("Answer")


@dataclass(frozen=True)
class Key:
    """A key pair that the portal generated: its id, and the private part in a file, as a tenant would keep it."""

    id: str
    file: Path


@dataclass(frozen=True, kw_only=True)
class Guest:
    """An instance from outside. `inside` is its first card's address, `outside` the floating IP there, or none."""

    pk: str
    name: str
    inside: str
    outside: str | None
    subnet: str
    mac: str
    key: Key

    def ssh(self, *words: str, user: str = "demo", limit_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside (a shell there reads it), from this machine; status 255 is SSH's own failure."""
        command = ["ssh", "-i", str(self.key.file), *OPTIONS, "-o", "ConnectTimeout=5", f"{user}@{self.outside}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL)

    def run(self, *words: str, user: str = "demo", limit_s: float = 60) -> str:
        """What a command that must succeed prints."""
        done = self.ssh(*words, user=user, limit_s=limit_s)
        assert done.returncode == 0, (self.name, words, done)
        return done.stdout.strip()

    def pings(self, target: str, count: int = 2) -> bool:
        """Whether every one of so many pings from inside is answered."""
        return " 0% packet loss" in self.ssh(f"ping -c {count} -i 0.2 -W 2 {target}", user="root").stdout

    def knocks(self, address: str, port: int) -> bool:
        """Whether a TCP connection from inside is accepted."""
        return self.ssh(f"nc -w 2 {address} {port} < /dev/null > /dev/null 2>&1").returncode == 0

    def curl(self, limit_s: float = 3) -> str:
        return curl(self.outside, limit_s)

    def await_ssh(self, limit_s: float = BOOT_LIMIT_S) -> float:
        """Seconds until the key opens it."""
        last = ""

        def opens() -> bool:
            nonlocal last
            if not is_open(self.outside, 22):
                last = "nobody answers at port 22"
                return False
            done = self.ssh("true")
            last = f"{done.returncode}: {done.stderr}"
            return done.returncode == 0

        return wait_for(opens, lambda: f"SSH of {self.name} ({self.pk}) at {self.outside}: {last}", limit_s)


def generate_key(portal: Portal, folder: Path, *, who: str = "tenant", name: str = "story") -> Key:
    """A key of the project's; its private part is told once and kept in the folder."""
    body = {"project": portal.demo[who]["project"], "name": name, "generate": True}
    status, answer = portal.api("POST", "ssh-keys/", body, who=who)
    assert status == 201, answer
    file = folder / f"{name}-{answer['id'][:8]}"
    file.touch(mode=0o600)
    file.write_text(answer["private_key"])
    return Key(answer["id"], file)


def order(portal: Portal, key: Key, name: str, *, who: str = "tenant", floating: bool = True, **changes: Any) -> dict[str, Any]:
    """The operation of new instances that let the key in; `count`, `subnets`, `security_groups` … as in the API."""
    return portal.create(name, who=who, ssh_keys=[key.id], **({"floating_ip": True} if floating else {}), **changes)


def await_made(portal: Portal, operation: dict[str, Any], key: Key, *, who: str = "tenant", limit_s: float = 180) -> list[Guest]:
    """The running instances of an order (their guests may still be booting)."""
    done = portal.finish(operation, limit_s, who=who)
    assert done["state"] == "succeeded", done
    return [look_at(portal, pk, key, who=who) for pk in done["result"]["instances"]]


def look_at(portal: Portal, pk: str, key: Key, *, who: str = "tenant") -> Guest:
    status, body = portal.api("GET", f"instances/{pk}/", who=who)
    assert status == 200, body
    card = body["addresses"][0]
    return Guest(pk=pk, name=body["name"], inside=card["ip"], outside=card["floating_ip"], subnet=card["subnet"],
                 mac=card["mac"], key=key)


def boot(portal: Portal, key: Key, name: str, *, who: str = "tenant", **changes: Any) -> list[Guest]:
    """Instances whose guests answer SSH at their floating IPs."""
    guests = await_made(portal, order(portal, key, name, who=who, **changes), key, who=who)
    at_once(Guest.await_ssh, guests)
    return guests


def at_once(ask: Callable[[Subject], Answer], subjects: Iterable[Subject]) -> list[Answer]:
    """Ask all of them in threads; the answers in order."""
    subjects = list(subjects)
    with ThreadPoolExecutor(max_workers=max(1, len(subjects))) as threads:
        return list(threads.map(ask, subjects))


def remove_all(portal: Portal, *, who: str = "tenant") -> None:
    """Delete all instances and floating IPs of the organization, and what a story made of networks; its defaults stay."""
    doomed = portal.api("GET", "instances/?limit=500", who=who)[1]["results"]
    begun = [portal.api("DELETE", f"instances/{row['id']}/?purge=true", who=who) for row in doomed]
    for (status, operation), row in zip(begun, doomed, strict=True):
        assert status == 202, (row, operation)
        assert portal.finish(operation, who=who)["state"] == "succeeded"
    for row in portal.api("GET", "ports/?limit=500", who=who)[1]["results"]:
        portal.api("DELETE", f"ports/{row['id']}/", who=who)  # its floating IP is idle then
    for row in portal.api("GET", "floating-ips/?limit=500", who=who)[1]["results"]:
        status, answer = portal.api("DELETE", f"floating-ips/{row['id']}/", who=who)
        assert status == 204, answer
    portal.await_networks()


def curl(address: str | None, limit_s: float = 3) -> str:
    """The web page at an address, from this machine; empty when there is none."""
    command = ["curl", "-s", "-m", str(limit_s), f"http://{address}/"]
    return subprocess.run(command, capture_output=True, text=True).stdout


def is_open(address: str | None, port: int, limit_s: float = 2) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=limit_s):
        return True
    return False


def wait_for(condition: Callable[[], object], what: str | Callable[[], str], limit_s: float = 60) -> float:
    """Seconds until the condition holds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit_s, f"not within {limit_s} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.1)
    return time.monotonic() - begun
