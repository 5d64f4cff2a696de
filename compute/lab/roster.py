"""Which hosts a lab has: kept in its directory, since one that was added must be known to every later command."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from compute.lab.errors import LabError
from compute.lab.keys import write_if_changed

DEFAULT_HOSTS = 3  # two cannot fail over: a chassis without any live tunnel believes that it is the isolated one
MOST_HOSTS = 200
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")  # a name of the DNS, short enough for a certificate and a row


@dataclass(frozen=True)
class Roster:
    """The names of a lab's hosts in their order; a host's place gives its address and never changes."""

    file: Path
    lab: str

    def names(self, *, at_least: int | None = None) -> list[str]:
        """Return the hosts' names: those remembered, and as many more as are wanted."""
        names = self._remembered()
        wanted = at_least if names or at_least else DEFAULT_HOSTS
        while len(names) < (wanted or 0):
            names.append(self._next(names))
        return names

    def remember(self, names: list[str]) -> None:
        """Keep the list for later commands."""
        write_if_changed(self.file, json.dumps({"lab": self.lab, "hosts": names}) + "\n")

    def grown(self, names: list[str], name: str | None) -> list[str]:
        """Return the list with one more host at its end, named thus or by its number."""
        name = name or self._next(names)
        if not LABEL.fullmatch(name):
            raise LabError(f"{name!r} is no host name: small letters, digits and hyphens, please.")
        if name in (*names, f"{self.lab}-central", "central"):
            raise LabError(f"The lab {self.lab!r} already has a machine {name!r}.")
        if len(names) >= MOST_HOSTS:
            raise LabError("A lab has no addresses for more hosts.")
        return [*names, name]

    def _next(self, names: list[str]) -> str:
        number = len(names) + 1
        while f"{self.lab}-h{number}" in names:
            number += 1
        return f"{self.lab}-h{number}"

    def _remembered(self) -> list[str]:
        try:
            kept = json.loads(self.file.read_text())
            return list(kept["hosts"]) if kept["lab"] == self.lab else []
        except (OSError, ValueError, KeyError, TypeError):
            return []
