"""The stage's lab as the person in front of the racks sees it: over SSH and OVN's own tools, past the portal."""
import json
import os
import subprocess
from pathlib import Path

from compute.lab import HostFacts, Lab
from compute.network.fabric.reconcile import DEPLOYMENT
from compute.network.fabric.schema import TABLES
from tests.stories.guests import at_once

EXTRA_HOST = "extra"  # of one story; taken away when a killed run left it


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

    def forget(self) -> None:
        """No domain is left, whatever a test left behind."""
        for pk in self.domains():
            self.run("virsh", "destroy", pk)
            self.run("virsh", "undefine", pk, "--managed-save", "--snapshots-metadata", "--nvram")

    def wipe(self) -> None:
        self.forget()
        for path in Path(self.facts.pool_path).iterdir():
            path.unlink()

    def files(self) -> set[str]:
        return {path.name for path in Path(self.facts.pool_path).iterdir()}


class LabCloud:
    """All hosts and OVN's central."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        found = lab.up()
        if EXTRA_HOST in lab.host_names:
            lab.remove(EXTRA_HOST)
        self.hosts = [LabHost(facts) for facts in found if facts.name != EXTRA_HOST]
        self.facts = json.loads((lab.directory / "lab.json").read_text())

    @classmethod
    def of_stage(cls) -> "LabCloud":
        return cls(Lab(os.environ["MAINS_LAB"], Path(os.environ["MAINS_STATE_DIR"])))

    # -- hosts --

    def domains(self) -> set[str]:
        return set().union(*at_once(LabHost.domains, self.hosts))

    def running(self) -> set[str]:
        return set().union(*at_once(LabHost.running, self.hosts))

    def files(self) -> set[str]:
        return {f"{host.facts.name}/{name}" for host in self.hosts for name in host.files()}

    def run(self, *words: str) -> list[str]:
        """The same command on every host."""
        return at_once(lambda host: host.run(*words), self.hosts)

    def taps(self) -> set[str]:
        """What is plugged into the switches of the hosts, tunnels and patches left out: host, device and port."""
        listing = ("ovs-vsctl", "--format=json", "--columns=name,type,external_ids", "list", "Interface")
        found = set()
        for host, listed in zip(self.hosts, self.run(*listing), strict=True):
            found |= {f"{host.facts.name}/{name}/{dict(marks).get('iface-id', '')}"
                      for name, kind, (_map, marks) in json.loads(listed)["data"] if kind not in ("geneve", "patch")}
        return found

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
        lists = [word for table in TABLES for word in ("--", "--columns=_uuid,external_ids", "list", table)]
        found = {}
        for table, line in zip(TABLES, self.northbound("--format=json", *lists).splitlines(), strict=True):
            rows = json.loads(line)["data"]
            found[table] = sorted(pk for (_kind, pk), (_map, marks) in rows if DEPLOYMENT in dict(marks))
        return found

    def gateways(self) -> int:
        """How many ways out of how many VPCs there are."""
        return len(self.marked()["Gateway_Chassis"])

    def census(self) -> dict[str, object]:
        """What must be the same before a story and after it."""
        return {"domains": self.domains(), "files": self.files(), "taps": self.taps(), **self.fabric()}

    def fabric(self) -> dict[str, object]:
        """What OVN has of any portal's."""
        return {"ovn": self.show(), "rows": self.marked()}

    def wipe(self) -> None:
        """Remove what a killed earlier run left: the stage's lab belongs to the stories alone."""
        at_once(LabHost.wipe, self.hosts)
        words = [word for table, rows in self.marked().items() if TABLES[table].is_root
                 for pk in rows for word in ("--", "--if-exists", "destroy", table, pk)]
        if words:
            self.northbound(*words[1:])
