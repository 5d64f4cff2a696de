"""The cables between this machine and its lab hosts: one bridge a lab, one veth pair a host.

Only `ip` is spoken here, and only about devices whose names the lab derived from its number.
"""

import ipaddress
import json
import subprocess
from pathlib import Path

from compute.lab.errors import LabError

LAB_NETWORK = ipaddress.ip_network("10.99.0.0/16")
SYSFS = Path("/sys/class/net")


def _ip(*arguments: str) -> str:
    ran = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if ran.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout


def exists(device: str) -> bool:
    """Tell whether the root namespace has this device."""
    return (SYSFS / device).exists()


def taken_numbers() -> set[int]:
    """Find the /24s of the lab network on which this machine already has an address."""
    numbers = set()
    for link in json.loads(_ip("-json", "address", "show")):
        for entry in link.get("addr_info", []):
            address = ipaddress.ip_address(entry.get("local", "::"))
            if address in LAB_NETWORK:
                numbers.add(address.packed[2])
    return numbers


def ensure_bridge(bridge: str, address: str) -> None:
    """Make the lab's bridge with the gateway's address, so that the portal reaches the hosts."""
    if not exists(bridge):
        _ip("link", "add", bridge, "type", "bridge")
    _ip("address", "replace", address, "dev", bridge)
    _ip("link", "set", bridge, "up")


def plug(bridge: str, cable: str, *, into_pid: int) -> None:
    """Run a cable from the bridge to `eth0` in the network namespace of a process."""
    unplug(cable)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(into_pid))
    _ip("link", "set", cable, "master", bridge, "up")


def unplug(device: str) -> None:
    """Remove a cable or bridge; a namespace that is dying may take it first."""
    if exists(device):
        subprocess.run(["ip", "link", "delete", device], capture_output=True)
