"""How a host is reached by SSH: the files that a client needs, whom it talks to, and which keys a host shows.

The host's key is checked against what the portal knows, nobody's `~/.ssh` is used, and no secret is on a command line.
Both libvirt's own connection (`libvirt.reach`) and `HostCommands` use the same files. What is said over it is not here.
"""
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from portal.kernel.errors import HostUnreachable

from . import reasons
from .contract import Address, Fence

CONNECT_LIMIT_S = 5
SCAN_LIMIT_S = 15
USUAL_PORT = 22
KEPT_S = 3600
"""How long the files of a credential that is not used any more stay."""

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
_WRAPPER = """#!/bin/sh
exec ssh -F "${0%/*}/config" "$@"
"""
# Best first; what else a host shows is left aside.
KEY_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_ADDRESS = re.compile(r"(?:(?P<user>[a-z_][a-z0-9_-]{0,31})@)?(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})"
                      r"(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, kw_only=True)
class Target:
    """An account on a host."""

    user: str
    host: str
    port: int = USUAL_PORT

    @property
    def known_as(self) -> str:
        """The name that a known_hosts line has for it."""
        return self.host if self.port == USUAL_PORT else f"[{self.host}]:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" + ("" if self.port == USUAL_PORT else f":{self.port}")


def parse_target(text: str) -> Target:
    """`root@10.99.7.11`, `root@[fd00::1]:2222`, `rack-1`; the user is root unless said. Raises ValueError."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"] or USUAL_PORT) < 65536:
        raise ValueError(f"not an SSH address: {text!r}")
    return Target(user=found["user"] or "root", host=found["host"].strip("[]").lower(), port=int(found["port"] or USUAL_PORT))


def target_of(uri: str) -> Target | None:
    """Whom a driver's address names; None when it is not reached by SSH."""
    parts = urlsplit(uri)
    if not parts.scheme.endswith("+ssh") or not parts.hostname:
        return None
    return Target(user=parts.username or "root", host=parts.hostname, port=parts.port or USUAL_PORT)


# -- the client's files --

def client_folder(address: Address) -> Path:
    """A folder with `key`, `known_hosts`, `config` and the wrapper `ssh`: one for each different credential, so that a
    rotated key never meets an old connection. Those of credentials that nobody has used for a while are removed."""
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
    os.utime(folder)
    _forget_unused(folder)
    return folder


def _forget_unused(folder: Path) -> None:
    """An old key does not stay on disk. Not at once: what is being tried and what is in service may take turns for a while."""
    before = time.time() - KEPT_S
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir() and other.stat().st_mtime < before:
            shutil.rmtree(other, ignore_errors=True)


def client_words(address: Address, target: Target, remote: list[str]) -> list[str]:
    """The argument list that runs `remote` on the host. Its words are quoted one by one, since ssh only joins them."""
    config = str(client_folder(address) / "config")
    account = ["-T", "-l", target.user, "-p", str(target.port), "--", target.host]
    return ["ssh", "-F", config, *account, " ".join(shlex.quote(word) for word in remote)]


def _write(path: Path, text: str, mode: int) -> None:
    """In one move, so that a connecting thread never sees half of it."""
    if path.exists() and path.read_text() == text:
        return
    number, half = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # nobody else's, in whichever container
    with os.fdopen(number, "w") as file:
        os.fchmod(number, mode)
        file.write(text)
    os.replace(half, path)


# -- host keys --

def scan_host_keys(target: Target, fence: Fence) -> list[str]:
    """The known_hosts lines of all keys that the host shows now, best first. Raises HostUnreachable for none."""
    words = ["ssh-keyscan", "-T", str(CONNECT_LIMIT_S), "-p", str(target.port), "-t", "ed25519,ecdsa,rsa", "--", target.host]
    fence.before("ssh.keyscan")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SCAN_LIMIT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise HostUnreachable(reasons.NO_ANSWER) from None
    found = [line.split()[1:3] for line in done.stdout.splitlines() if line and not line.startswith("#")]
    shown = sorted((key for key in found if key[0] in KEY_KINDS), key=lambda key: KEY_KINDS.index(key[0]))
    if not shown:
        raise HostUnreachable(_knock(target))
    fence.after("ssh.keyscan")
    return [f"{target.known_as} {kind} {key}" for kind, key in shown]


def _knock(target: Target) -> object:
    """Why ssh-keyscan found nothing, which it does not say."""
    try:
        socket.create_connection((target.host, target.port), timeout=CONNECT_LIMIT_S).close()
    except socket.gaierror:
        return reasons.NO_SUCH_NAME
    except ConnectionRefusedError:
        return reasons.CONNECTION_REFUSED
    except TimeoutError:
        return reasons.NO_ANSWER
    except OSError:
        return reasons.NO_ROUTE
    return reasons.NO_SSH_SERVER


def parse_host_key(text: str, target: Target) -> str:
    """What an operator pastes (a known_hosts line, a public key, a SHA256 fingerprint) as a known_hosts line or a
    fingerprint. Raises ValueError."""
    words = text.split()
    if len(words) == 1 and re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", words[0]):
        return words[0]
    at = next((index for index, word in enumerate(words[:2]) if word in KEY_KINDS), None)
    if at is None or len(words) < at + 2:
        raise ValueError("not a host key")
    b64decode(words[at + 1], validate=True)
    return f"{target.known_as} {words[at]} {words[at + 1]}"


def fingerprint(line: str) -> str:
    """As ssh-keygen prints it, of a known_hosts line or public key; a fingerprint stays what it is. Empty for others."""
    if line.startswith("SHA256:"):
        return line.strip()
    words = line.split()
    blob = next((words[index + 1] for index, word in enumerate(words[:-1]) if word in KEY_KINDS), "")
    try:
        return "SHA256:" + b64encode(sha256(b64decode(blob, validate=True)).digest()).decode().rstrip("=") if blob else ""
    except ValueError:  # what somebody typed
        return ""


def names_a_host(text: str) -> bool:
    """Whether it is a known_hosts line, which ssh itself can check; not a fingerprint or a bare public key."""
    words = text.split()
    return len(words) > 2 and words[1] in KEY_KINDS


# -- what ssh says when it does not get there --

class LoginRefused(HostUnreachable):
    """The host does not know our key."""

    def __init__(self) -> None:
        super().__init__(reasons.LOGIN_REFUSED)


class OtherHostKey(HostUnreachable):
    """Whoever answers there is not the host that we know."""

    def __init__(self) -> None:
        super().__init__(reasons.OTHER_HOST)


_SILENT = (
    ("could not resolve", reasons.NO_SUCH_NAME),
    ("name or service not known", reasons.NO_SUCH_NAME),
    ("temporary failure in name resolution", reasons.NO_SUCH_NAME),
    ("connection refused", reasons.CONNECTION_REFUSED),
    ("no route to host", reasons.NO_ROUTE),
    ("network is unreachable", reasons.NO_ROUTE),
)


def not_connected(said: str) -> HostUnreachable:
    """The error that says what ssh's own message means."""
    text = said.lower()
    if "host key verification failed" in text:
        return OtherHostKey()
    if "permission denied (" in text or "too many authentication failures" in text:
        return LoginRefused()
    return HostUnreachable(next((reason for fragment, reason in _SILENT if fragment in text), reasons.NO_ANSWER))
