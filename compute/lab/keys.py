"""SSH material of a lab: our key, each host's key, and a client configuration that checks the latter.

Host keys are checked against our own file. Nobody's `~/.ssh` is read or written. No connection is made here.
"""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


def ensure_key(path: Path, comment: str) -> str:
    """Make an ed25519 key pair unless it is there; return the public line without its comment."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    kind, key = path.with_suffix(".pub").read_text().split()[:2]
    return f"{kind} {key}"


@dataclass(frozen=True)
class ClientConfig:
    """A directory with everything that an SSH client of the lab needs, and nothing from anywhere else."""

    directory: Path

    @property
    def private_key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def config(self) -> Path:
        return self.directory / "config"

    @property
    def wrapper(self) -> Path:
        """The program that libvirt's `command=` names in place of ssh."""
        return self.directory / "ssh"

    def write(self, host_keys: dict[str, str]) -> None:
        """Write known_hosts from {address: public key}, the configuration and the wrapper."""
        lines = [f"{address} {key}\n" for address, key in sorted(host_keys.items())]
        write_if_changed(self.known_hosts, "".join(lines))
        write_if_changed(self.config, self._config_text())
        write_if_changed(self.wrapper, self._wrapper_text(), mode=0o755)

    def _config_text(self) -> str:
        options = {
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "IdentityFile": f'"{self.private_key}"',
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "PreferredAuthentications": "publickey",
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
        }
        return "Host *\n" + "".join(f"  {name} {setting}\n" for name, setting in options.items())

    def _wrapper_text(self) -> str:
        return f'#!/bin/sh\nexec ssh -F {shlex.quote(str(self.config))} "$@"\n'


def write_if_changed(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file in one move, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == text:
        return
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text)
    half.chmod(mode)
    half.replace(path)
