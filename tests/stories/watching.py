"""Who is silent for how long: pings from this machine and between guests, while something is broken."""
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Self

from tests.stories.guests import Guest

EVERY_S = 0.1
BETWEEN_GUESTS_EVERY_S = 0.2
SEQUENCE = re.compile(r"bytes from .*?(?:icmp_)?seq=(\d+)")


@dataclass(frozen=True)
class Answers:
    """The numbers of the pings that were answered. What was sent last may still be on its way and is not missed."""

    numbers: list[int]
    every_s: float

    @property
    def lost(self) -> int:
        """Pings without an answer before the last answer."""
        return max(self.numbers) - min(self.numbers) + 1 - len(set(self.numbers)) if self.numbers else 0

    @property
    def silence_s(self) -> float:
        """The longest run of lost pings."""
        gaps = [later - earlier - 1 for earlier, later in pairwise(sorted(set(self.numbers)))]
        return round(max(gaps, default=0) * self.every_s, 1)


def answers(said: str, every_s: float) -> Answers:
    return Answers([int(number) for number in SEQUENCE.findall(said)], every_s)


class Watching:
    """Pings floating IPs from this machine, ten times a second each, while the block runs; then tells of each."""

    def __init__(self, guests: Iterable[Guest]) -> None:
        self.guests = {guest.name: guest for guest in guests}
        self.of: dict[str, Answers] = {}

    def __enter__(self) -> Self:
        command = ["ping", "-n", "-i", str(EVERY_S)]
        self._pings = {name: subprocess.Popen([*command, guest.outside], stdout=subprocess.PIPE, text=True)
                       for name, guest in self.guests.items()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, ping in self._pings.items():
            ping.terminate()
            self.of[name] = answers(ping.communicate()[0], EVERY_S)


class Talking:
    """One guest pings another's private address, while the block runs. Their floating IPs must answer at its ends."""

    def __init__(self, one: Guest, other: Guest) -> None:
        self._one, self._other = one, other
        self.answers = Answers([], BETWEEN_GUESTS_EVERY_S)

    def __enter__(self) -> Self:
        ping = f"ping -i {BETWEEN_GUESTS_EVERY_S} {self._other.inside}"
        self._one.run(f"(setsid {ping} > /run/talk 2>&1 < /dev/null &)", user="root")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        said = self._one.ssh("killall -INT ping; sleep 1; cat /run/talk", user="root").stdout
        self.answers = answers(said, BETWEEN_GUESTS_EVERY_S)
