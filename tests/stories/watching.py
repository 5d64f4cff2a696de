"""Who is silent for how long: pings from this machine and between guests, while something is broken."""
import re
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Self

from tests.stories.guests import Guest

EVERY_S = 0.1
BETWEEN_GUESTS_EVERY_S = 0.2
ANSWERED = re.compile(r"bytes from .*?seq=(\d+)")
SENT = re.compile(r"(\d+) packets transmitted")


@dataclass(frozen=True)
class Answers:
    """Which pings were answered, of how many, counted from 0. The last ones may still be on their way: not missed."""

    numbers: frozenset[int]
    sent: int
    every_s: float

    @classmethod
    def read(cls, said: str, every_s: float, *, first: int) -> Self:
        """What a ping that counts from `first` said to its end."""
        numbers = frozenset(int(number) - first for number in ANSWERED.findall(said))
        return cls(numbers, int(SENT.findall(said)[-1]), every_s)

    @property
    def _gaps(self) -> list[int]:
        end = max(self.sent - round(1 / self.every_s), max(self.numbers, default=0) + 1)
        return [later - earlier - 1 for earlier, later in pairwise([-1, *sorted(self.numbers), end])]

    @property
    def lost(self) -> int:
        return sum(self._gaps)

    @property
    def silence_s(self) -> float:
        """The longest run of lost pings."""
        return round(max(self._gaps) * self.every_s, 1)


class Watching:
    """Pings addresses from this machine, ten times a second each, while the block runs; then tells of each."""

    def __init__(self, guests: Iterable[Guest] = (), **addresses: str) -> None:
        self._addresses = {guest.name: guest.outside for guest in guests} | addresses
        self.of: dict[str, Answers] = {}

    def __enter__(self) -> Self:
        command = ["ping", "-n", "-i", str(EVERY_S)]
        self._pings = {name: subprocess.Popen([*command, address], stdout=subprocess.PIPE, text=True)
                       for name, address in self._addresses.items()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, ping in self._pings.items():
            ping.send_signal(signal.SIGINT)  # it tells how many it sent
            self.of[name] = Answers.read(ping.communicate()[0], EVERY_S, first=1)


class Talking:
    """One guest pings another's private address, while the block runs. Their floating IPs must answer at its ends."""

    def __init__(self, one: Guest, other: Guest) -> None:
        self._one, self._other = one, other
        self.answers: Answers | None = None

    def __enter__(self) -> Self:
        ping = f"ping -i {BETWEEN_GUESTS_EVERY_S} {self._other.inside}"
        self._one.run(f"(setsid {ping} > /run/talk 2>&1 < /dev/null &)", user="root")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        said = self._one.ssh("killall -INT ping; sleep 1; cat /run/talk", user="root").stdout
        self.answers = Answers.read(said, BETWEEN_GUESTS_EVERY_S, first=0)  # busybox
