"""Turns an address into a URI that libvirt can open: for SSH, a folder with key, known_hosts, configuration and a
wrapper.

libvirt runs the program that the URI's `command=` names in place of ssh. The wrapper names our own configuration
file, so that the host's key is checked against what the portal knows, nobody's `~/.ssh` is used, and no secret is on
a command line. No connection is made here.
"""
import os
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from compute.hosts.drivers.contract import Address

CONNECT_LIMIT_S = 5

_WRAPPER = """#!/bin/sh
exec ssh -F "${0%/*}/config" "$@"
"""

_OPTIONS = {
    "StrictHostKeyChecking": "yes",
    "GlobalKnownHostsFile": "none",
    "UpdateHostKeys": "no",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PreferredAuthentications": "publickey",
    "BatchMode": "yes",
    "ControlPath": "none",
    "ConnectTimeout": str(CONNECT_LIMIT_S),
    "ServerAliveInterval": "3",
    "ServerAliveCountMax": "2",
}


def connectable_uri(address: Address) -> str:
    """The address's URI; with a private key given, made to use that key and to know the host by the given host
    key."""
    if not address.private_key:
        return address.uri
    folder = _write_credentials(address)
    parts = urlsplit(address.uri)
    query = dict(parse_qsl(parts.query)) | {"command": str(folder / "ssh"), "no_tty": "1"}
    encoded = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return urlunsplit(parts._replace(query=encoded))


def _write_credentials(address: Address) -> Path:
    """One folder for each different credential, so that a rotated key never meets an old connection."""
    if not address.state_dir:
        raise ValueError("an address with a private key needs a state_dir to keep it in")
    mark = sha256("\0".join((address.private_key, address.host_key)).encode()).hexdigest()[:16]
    folder = Path(address.state_dir).absolute() / mark
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(folder / "key", address.private_key.strip() + "\n", 0o600)
    _write(folder / "known_hosts", address.host_key.strip() + "\n", 0o600)
    options = _OPTIONS | {"IdentityFile": f'"{folder / "key"}"', "UserKnownHostsFile": f'"{folder / "known_hosts"}"'}
    _write(folder / "config", "Host *\n" + "".join(f"  {name} {value}\n" for name, value in options.items()), 0o600)
    _write(folder / "ssh", _WRAPPER, 0o700)
    return folder


def _write(path: Path, text: str, mode: int) -> None:
    """In one move, so that a connecting thread never sees half of it."""
    if path.exists() and path.read_text() == text:
        return
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    half.replace(path)
