"""One lab host: its files, its namespaces, its power switch.

A host is one outer process (`unshare`), whose death by any signal takes every process, mount and device of the host
with it. It is found by its exact command line in /proc, never by a pid file, so a crashed earlier run leaves nothing to
be misled by. Which hosts exist, and the bridge they hang on, is decided in `box`.
"""

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from compute.lab import network
from compute.lab.errors import LabError
from compute.lab.keys import ensure_key, write_if_changed

INIT = Path(__file__).with_name("init.sh")
INIT_NAME = "/compute/lab/init.sh"  # in whichever checkout a host was started from
LIBVIRT_SOCKET = "run/libvirt/libvirt-sock"
START_LIMIT_S = 60.0  # on a crowded machine; 1 s on an idle one


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the lab decided about one host, and how to make it so."""

    lab: str
    name: str
    address: str
    prefix_length: int
    bridge: str
    cable: str
    directory: Path
    pool: Path
    authorized_key: str
    neighbours: dict[str, str]

    @cached_property
    def public_key(self) -> str:
        """The host's SSH key, made on first use and kept."""
        return ensure_key(self.directory / "ssh_host_ed25519_key", self.name)

    # -- files ---------------------------------------------------------------------------------------------------

    def write_files(self) -> None:
        """Write everything that the host's init and daemons read."""
        for folder in ("etc", "home", "lib", "log", "cache"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        self.pool.mkdir(parents=True, exist_ok=True)
        write_if_changed(self.directory / "authorized_keys", self.authorized_key + "\n", mode=0o600)
        for table, text in self._accounts().items():
            write_if_changed(self.directory / table, text, mode=0o600 if table == "shadow" else 0o644)
        names = {"localhost": "127.0.0.1", **self.neighbours}
        write_if_changed(self.directory / "hosts", "".join(f"{at}\t{name}\n" for name, at in names.items()))
        write_if_changed(self.directory / "sshd_config", _settings(self._sshd(), " "))
        write_if_changed(self.directory / "etc/libvirtd.conf", _settings(self._libvirtd(), " = "))
        write_if_changed(self.directory / "etc/qemu.conf", _settings(self._qemu(), " = "))
        write_if_changed(self.directory / "etc/virtlogd.conf", "")

    def _accounts(self) -> dict[str, str]:
        """Three users: ours; sshd's; and the one that libvirt resolves at start even when configured not to use it.

        Root is locked with "*", since sshd without PAM refuses an account locked with "!", as some machines have it.
        """
        home = self.directory / "home"
        users = {"root": f"0:0::{home}:/bin/bash", "sshd": "100:65534::/run/sshd:/usr/sbin/nologin"}
        users["libvirt-qemu"] = "64055:64055::/var/lib/libvirt:/usr/sbin/nologin"
        groups = {"root": 0, "tty": 5, "kvm": 104, "libvirt": 105, "libvirt-qemu": 64055, "nogroup": 65534}
        return {
            "passwd": "".join(f"{name}:x:{entry}\n" for name, entry in users.items()),
            "group": "".join(f"{name}:x:{number}:\n" for name, number in groups.items()),
            "shadow": "".join(f"{name}:*:19000:0:99999:7:::\n" for name in users),
        }

    def _sshd(self) -> dict[str, str]:
        return {
            "ListenAddress": self.address,
            "HostKey": f'"{self.directory / "ssh_host_ed25519_key"}"',
            "AuthorizedKeysFile": f'"{self.directory / "authorized_keys"}"',
            "StrictModes": "no",  # the state directory's parents are the developer's business
            "UsePAM": "no",
            "UseDNS": "no",
            "AllowUsers": "root",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "DisableForwarding": "yes",
            "PidFile": "none",
            "ClientAliveInterval": "15",
            "MaxStartups": "100",  # the portal's workers all reconnect at once after a host's reboot
        }

    def _libvirtd(self) -> dict[str, str]:
        """Unix sockets only; without a distinct host_uuid, migration says that both ends are the same host."""
        identity = uuid.uuid5(uuid.NAMESPACE_URL, str(self.directory))
        return {
            "host_uuid": f'"{identity}"',
            "unix_sock_rw_perms": '"0700"',
            "unix_sock_ro_perms": '"0700"',
            "auth_unix_rw": '"none"',
            "auth_unix_ro": '"none"',
            "max_clients": "200",
            "max_client_requests": "20",  # one shared connection carries many of the portal's calls at once
        }

    def _qemu(self) -> dict[str, str]:
        return {
            "user": '"root"',
            "group": '"root"',
            "security_driver": '"none"',
            "cgroup_controllers": "[]",
            "namespaces": "[]",
            "remember_owner": "0",
            "vnc_listen": f'"{self.address}"',  # guests' consoles are on the management network only
            "migration_host": f'"{self.address}"',
        }

    # -- power ---------------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        namespaces = ["--net", "--pid", "--mount", "--uts"]
        cidr = f"{self.address}/{self.prefix_length}"
        init = ["bash", str(INIT), str(self.directory), self.name, cidr]
        return ["unshare", *namespaces, "--fork", "--kill-child", "tini", "-s", "--", *init]

    def outer_pid(self) -> int | None:
        """Find the process that is this host's power switch."""
        return next(iter(outer_pids(self.directory)), None)

    def inner_pid(self) -> int | None:
        """Find the host's process 1, by its number out here."""
        outer = self.outer_pid()
        return next(iter(_children(outer)), None) if outer else None

    def is_alive(self) -> bool:
        """Tell whether the host is up and its libvirtd and sshd answer."""
        inner = self.inner_pid()
        if inner is None or not self._stands_on_its_files(inner):
            return False
        return _libvirt_answers(inner) and _ssh_answers(self.address)

    def _stands_on_its_files(self, inner: int) -> bool:
        """Find out whether the state directory was removed and made anew under the running host, keys and all."""
        with suppress(OSError):
            return os.path.samefile(f"/proc/{inner}/root/etc/libvirt", self.directory / "etc")
        return False

    def start(self) -> None:
        """Switch the host on and wait until it answers."""
        self.kill()
        self.write_files()
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        with (self.directory / "console.log").open("ab") as console:
            subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        _await(lambda: self.inner_pid() is not None, f"{self.name} did not start")
        network.plug(self.bridge, self.cable, into_pid=self.inner_pid())
        _await(self.is_alive, f"{self.name} did not answer; see {self.directory / 'console.log'}")

    def kill(self) -> None:
        """Cut the power: every process of the host, guests included, is gone when this returns."""
        for outer in outer_pids(self.directory):
            cut_power(outer)
        network.unplug(self.cable)


def outer_pids(directory: Path) -> list[int]:
    """Find the outer processes whose hosts live in or under this directory."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal() and _is_outer(entry, directory)]


def _is_outer(pid: str, directory: Path) -> bool:
    """Judge by the exact command line that `Host` starts, so that no pid file can mislead."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            arguments = [os.fsdecode(argument) for argument in cmdline.read().split(b"\0")]
    except OSError:
        return False
    inits = [index for index, argument in enumerate(arguments) if argument.endswith(INIT_NAME)]
    return arguments[0] == "unshare" and bool(inits) and Path(arguments[inits[0] + 1]).is_relative_to(directory)


def cut_power(outer: int) -> None:
    """Kill a host's outer process and wait until its process 1, hence every process in it, is gone."""
    inner = _children(outer)
    with suppress(ProcessLookupError):
        os.kill(outer, signal.SIGKILL)
    with suppress(ChildProcessError):  # ours when this very process had started it: reap it
        os.waitpid(outer, 0)
    _await(lambda: not any(_is_running(pid) for pid in [outer, *inner]), f"process {outer} did not die")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_running(pid: int) -> bool:
    """A zombie counts as gone: process 1 of this machine may take seconds to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _libvirt_answers(inner: int) -> bool:
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(2)
        client.connect(f"/proc/{inner}/root/{LIBVIRT_SOCKET}")
        return True
    return False


def _ssh_answers(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, 22), timeout=2) as client:
        return client.recv(4) == b"SSH-"
    return False


def _await(condition: Callable[[], object], complaint: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(complaint)
        time.sleep(0.05)


def _settings(settings: dict[str, str], separator: str) -> str:
    return "".join(f"{name}{separator}{value}\n" for name, value in settings.items())
