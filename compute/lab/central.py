"""OVN's central of a lab: both databases and northd on a machine of their own, which can be killed like a host.

The databases persist over a power cut. They listen with TLS and ask for a certificate of the lab's authority; there is
no other listener.
"""

import json
import subprocess
from dataclasses import dataclass

from compute.lab.authority import Identity
from compute.lab.machine import Machine, port_answers, socket_answers

NORTHBOUND_PORT, SOUTHBOUND_PORT = 6641, 6642
NORTHBOUND_SOCKET, SOUTHBOUND_SOCKET = "run/ovn/ovnnb_db.sock", "run/ovn/ovnsb_db.sock"


@dataclass(frozen=True, kw_only=True)
class Central(Machine):
    """The machine of OVN's databases."""

    identity: Identity

    ROLE = "central"

    @property
    def northbound(self) -> str:
        return f"ssl:{self.address}:{NORTHBOUND_PORT}"

    @property
    def southbound(self) -> str:
        return f"ssl:{self.address}:{SOUTHBOUND_PORT}"

    def chassis(self) -> dict[str, str]:
        """Tell which chassis have reported, each with the host name that it gave."""
        answer = self._southbound("--format=json", "--columns=name,hostname", "list", "chassis")
        return dict(json.loads(answer)["data"]) if answer else {}

    def forget(self, chassis: str) -> None:
        """A host that is gone for good is no chassis any more."""
        self._southbound("--if-exists", "chassis-del", chassis)

    def _southbound(self, *words: str) -> str:
        """What `ovn-sbctl` says on this machine's own socket; nothing when it cannot."""
        inner = self.inner_pid()
        if inner is None:
            return ""
        command = ["ovn-sbctl", "--timeout=5", f"--db=unix:/proc/{inner}/root/{SOUTHBOUND_SOCKET}", *words]
        ran = subprocess.run(command, capture_output=True, text=True)
        return ran.stdout if ran.returncode == 0 else ""

    def _settings(self) -> dict[str, str]:
        return {
            "northbound": f"pssl:{NORTHBOUND_PORT}:{self.address}",
            "southbound": f"pssl:{SOUTHBOUND_PORT}:{self.address}",
            "certificate": str(self.identity.certificate),
            "private_key": str(self.identity.private_key),
            "ca_certificate": str(self.identity.ca_certificate),
        }

    def _answers(self, inner: int) -> bool:
        sockets = all(socket_answers(inner, path) for path in (NORTHBOUND_SOCKET, SOUTHBOUND_SOCKET))
        return sockets and all(port_answers(self.address, port) for port in (NORTHBOUND_PORT, SOUTHBOUND_PORT))
