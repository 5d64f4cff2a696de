"""What a command of the catalogue is, and what runs one. No command and no way to a host may live here."""
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from compute.hosts.drivers import reasons
from portal.kernel.errors import HostFault

Answer = TypeVar("Answer")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_PATH = re.compile(r"(/[A-Za-z0-9_@%+=:,.-]+)+")


class ProgramAbsent(HostFault):
    """The host has no such program."""

    def __init__(self) -> None:
        super().__init__(reasons.NO_PROGRAM)


@dataclass(frozen=True)
class Slot:
    """A word that is filled in when the command runs. `check` gives its text or raises ValueError."""

    name: str
    check: Callable[[object], str]
    before: str = ""

    def filled(self, value: object) -> str:
        return self.before + self.check(value)


@dataclass(frozen=True, kw_only=True)
class Command(Generic[Answer]):
    """One argument list. `parse` reads what it prints, and raises ValueError for what it cannot have printed."""

    name: str
    words: tuple[str | Slot, ...]
    parse: Callable[[str], Answer]
    limit_s: int = 10

    def filled(self, **values: object) -> list[str]:
        """The words with every slot filled: exactly those that it has."""
        wanted = {word.name for word in self.words if isinstance(word, Slot)}
        if wanted != set(values):
            raise ValueError(f"{self.name} takes {sorted(wanted)}, not {sorted(values)}")
        return [word.filled(values[word.name]) if isinstance(word, Slot) else word for word in self.words]


class HostCommands(Protocol):
    """One host, for a few commands. Every one passes the fence as `ssh.<name>`.

    Raises HostUnreachable when the host is not reached or does not answer in time, ProgramAbsent when it lacks the
    program, HostFault when the command fails or answers nonsense.
    """

    def run(self, command: Command[Answer], *, still: Callable[[], None] | None = None, **values: object) -> Answer:
        """`still` is called every few seconds while one that takes long goes on, and what it raises ends the waiting; the
        command itself carries on, for as long as it may."""

    def close(self) -> None: ...


def uuid_text(value: object) -> str:
    return str(value if isinstance(value, UUID) else UUID(str(value)))


def log_name(value: object) -> str:
    """The file that a domain's console log is in."""
    return f"mains-{uuid_text(value)}-console.log"


def interface_name(value: object) -> str:
    """A bridge or tap, as Linux allows (15 characters), and not an option."""
    if not isinstance(value, str) or not _INTERFACE.fullmatch(value):
        raise ValueError(f"not the name of an interface: {value!r}")
    return value


def qcow2_file(value: object) -> str:
    """A file of the host, for programs of QEMU: always read as what the portal has made it, since a format that is looked for is
    one that a guest can choose."""
    return f"driver=qcow2,file.driver=file,file.filename={absolute_path(value).replace(',', ',,')}"


def absolute_path(value: object) -> str:
    """A folder of the host, written plainly: no `..`, no spaces, nothing that a shell or df would read otherwise."""
    if not isinstance(value, str) or not _PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise ValueError(f"not a plain absolute path: {value!r}")
    return value
