"""One portal for all stories of a session, on the stage's lab."""
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.lab import HostFacts, Lab
from tests.stories.portal import Portal


class LabHost:
    """The lab's only host as the person in front of the rack sees it: over SSH, past the portal."""

    def __init__(self, facts: HostFacts) -> None:
        self.facts = facts

    def run(self, *words: str) -> str:
        command = [self.facts.ssh_command, f"root@{self.facts.address}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout

    def domains(self) -> set[str]:
        return {line for line in self.run("virsh", "list", "--all", "--uuid").split() if line}

    def running(self) -> set[str]:
        return {line for line in self.run("virsh", "list", "--uuid").split() if line}

    def wipe(self) -> None:
        """Remove what a killed earlier run left: the stage's lab belongs to the stories alone."""
        for pk in self.domains():
            self.run("virsh", "destroy", pk)
            self.run("virsh", "undefine", pk)
        for path in Path(self.facts.pool_path).iterdir():
            path.unlink()

    def files(self) -> set[str]:
        return {path.name for path in Path(self.facts.pool_path).iterdir()}


@pytest.fixture(scope="session")
def lab_host() -> LabHost:
    state = Path(os.environ["MAINS_STATE_DIR"])
    facts = Lab(os.environ["MAINS_LAB"], state).up()[0]
    return LabHost(facts)


@pytest.fixture(scope="session")
def portal(lab_host: LabHost) -> Iterator[Portal]:
    state = Path(os.environ["MAINS_STATE_DIR"])
    document = json.loads((state / "lab" / "lab.json").read_text())
    assert document["hosts"], "the lab has no host"
    lab_host.wipe()
    portal = Portal(state)
    try:
        yield portal.start()
    finally:
        portal.stop()
