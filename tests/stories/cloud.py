"""The stage's lab as the person in front of the racks sees it: over SSH and OVN's own tools, past the portal."""
import json
import os
import subprocess
from pathlib import Path

from compute.lab import HostFacts, Lab
from compute.network.fabric.reconcile import DEPLOYMENT
from compute.network.fabric.schema import TABLES


class LabHost:
    """One host."""

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
        for pk in self.domains():
            self.run("virsh", "destroy", pk)
            self.run("virsh", "undefine", pk)
        for path in Path(self.facts.pool_path).iterdir():
            path.unlink()

    def files(self) -> set[str]:
        return {path.name for path in Path(self.facts.pool_path).iterdir()}


class LabCloud:
    """All hosts and OVN's central."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.hosts = [LabHost(facts) for facts in lab.up()]
        self.facts = json.loads((lab.directory / "lab.json").read_text())

    @classmethod
    def of_stage(cls) -> "LabCloud":
        return cls(Lab(os.environ["MAINS_LAB"], Path(os.environ["MAINS_STATE_DIR"])))

    # -- hosts --

    def domains(self) -> set[str]:
        return set().union(*(host.domains() for host in self.hosts))

    def running(self) -> set[str]:
        return set().union(*(host.running() for host in self.hosts))

    def files(self) -> set[str]:
        return {f"{host.facts.name}/{name}" for host in self.hosts for name in host.files()}

    def run(self, *words: str) -> list[str]:
        """The same command on every host."""
        return [host.run(*words) for host in self.hosts]

    def host_of(self, pk: str) -> LabHost:
        """The host that knows the domain."""
        return next(host for host in self.hosts if pk in host.domains())

    # -- OVN --

    def northbound(self, *words: str, check: bool = True) -> str:
        return self._ask("ovn-nbctl", "northbound", *words, check=check)

    def southbound(self, *words: str, check: bool = True) -> str:
        return self._ask("ovn-sbctl", "southbound", *words, check=check)

    def _ask(self, tool: str, database: str, *words: str, check: bool) -> str:
        central = self.facts["central"]
        tls = ["-p", central["private_key"], "-c", central["certificate"], "-C", central["ca_certificate"]]
        command = [tool, "--timeout=10", f"--db={central[database]}", *tls, *words]
        return subprocess.run(command, capture_output=True, text=True, check=check).stdout.strip()

    def show(self) -> str:
        """`ovn-nbctl show`: switches, routers, ports, translations."""
        return self.northbound("show")

    def marked(self) -> dict[str, list[str]]:
        """By table, the rows of any portal's."""
        found = {}
        for table in TABLES:
            rows = json.loads(self.northbound("--format=json", "--columns=_uuid,external_ids", "list", table))["data"]
            found[table] = sorted(pk for (_kind, pk), (_map, marks) in rows if DEPLOYMENT in dict(marks))
        return found

    def gateways(self) -> int:
        """How many ways out of how many VPCs there are."""
        return len(self.marked()["Gateway_Chassis"])

    def census(self) -> dict[str, object]:
        """What must be the same before a story and after it."""
        return {"domains": self.domains(), "files": self.files(), "ovn": self.show(), "rows": self.marked()}

    def wipe(self) -> None:
        """Remove what a killed earlier run left: the stage's lab belongs to the stories alone."""
        for host in self.hosts:
            host.wipe()
        words = [word for table, rows in self.marked().items() if TABLES[table].is_root
                 for pk in rows for word in ("--", "--if-exists", "destroy", table, pk)]
        if words:
            self.northbound(*words[1:])
