"""Guests for the lab's tests: a clone of the demo image, a NoCloud drive, a domain, and its serial line as a file."""

import re
import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import libvirt
import pycdlib

from compute.lab import HostFacts
from compute.lab.image import DemoImage

OFFLOADS = {"csum": "off", "tso4": "off", "tso6": "off", "ecn": "off", "ufo": "off"}
LOGIN = re.compile(r"^(\S+) login: ", re.MULTILINE)


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 90.0) -> float:
    """Wait until the condition holds and return the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, f"{what}: not within {limit_s} s"
        time.sleep(0.05)
    return time.monotonic() - began


def write_seed(path: Path, *, meta_data: str, user_data: str) -> None:
    """Write a NoCloud drive."""
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for index, (name, text) in enumerate({"meta-data": meta_data, "user-data": user_data}.items()):
        content = text.encode()
        disc.add_fp(BytesIO(content), len(content), f"/SEED{index}.;1", rr_name=name, joliet_path=f"/{name}")
    disc.write(str(path))
    disc.close()


def element(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    """Add one element."""
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


@dataclass(frozen=True)
class Plug:
    """What a guest's NIC is plugged into: a logical port of OVN."""

    port: str
    mac: str


@dataclass
class Guest:
    """One domain and the file that its serial line is written to."""

    domain: libvirt.virDomain
    serial: Path
    disk: Path

    def said(self) -> str:
        return self.serial.read_text(errors="replace").replace("\r", "") if self.serial.exists() else ""

    def logins(self) -> list[str]:
        """The host names of all login prompts so far."""
        return LOGIN.findall(self.said())

    def await_login(self, count: int = 1) -> float:
        return wait_for(lambda: len(self.logins()) >= count, f"login prompt in {self.said()[-300:]!r}")

    def await_saying(self, text: str) -> float:
        return wait_for(lambda: text in self.said(), text)

    def answer(self, *exchanges: tuple[str, str]) -> None:
        """Type on the serial console: each line when its prompt is the last thing the guest said."""
        stream = self.domain.connect().newStream()
        self.domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        for prompt, line in exchanges:
            wait_for(lambda prompt=prompt: self.said().endswith(prompt), f"{prompt!r} after {self.said()[-200:]!r}")
            time.sleep(0.3)  # login throws away what was typed before it asks
            stream.send(f"{line}\n".encode())
        stream.abort()

    def cpu_seconds(self) -> float:
        """Processor time since power-on: under emulation this is what boot costs, however busy the machine is."""
        return self.domain.info()[4] / 1e9

    def is_running(self) -> bool:
        return self.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING

    def power_off_by_button(self) -> float:
        self.domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        return wait_for(lambda: not self.is_running(), "power-off")


@dataclass
class Guests:
    """Makes guests on one host and clears them away."""

    host: HostFacts
    connection: libvirt.virConnect
    image: DemoImage
    made: list[Guest] = field(default_factory=list)

    def boot(self, name: str, *, user_data: str = "#cloud-config\n", meta_data: str = "", bios: bool = False,
             bridge: str | None = None, plug: Plug | None = None) -> Guest:
        """Define and start a guest whose instance-id and hostname are its name; return without waiting."""
        pool = Path(self.host.pool_path)
        base = pool / "base.qcow2"
        disk, serial, seed = (pool / f"{name}.{suffix}" for suffix in ("qcow2", "log", "iso"))
        if not base.exists():
            shutil.copyfile(self.image.disk, base)
        clone = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(disk), "1G"]
        subprocess.run(clone, check=True)
        serial.unlink(missing_ok=True)
        identity = f"instance-id: {name}\nlocal-hostname: {name}\n{meta_data}"
        write_seed(seed, meta_data=identity, user_data=user_data)
        xml = self._domain(name, disk, seed, serial, bios=bios)
        devices = xml.find("devices")
        if bridge:
            self._add_card(devices, bridge)
        if plug:
            self._plug_in(self._add_card(devices, "br-int"), plug)
        domain = self.connection.defineXML(ET.tostring(xml, encoding="unicode"))
        guest = Guest(domain=domain, serial=serial, disk=disk)
        self.made.append(guest)
        domain.create()
        return guest

    def _domain(self, name: str, disk: Path, seed: Path, serial: Path, *, bios: bool) -> ET.Element:
        domain = ET.Element("domain", type="qemu")
        element(domain, "name", name)
        element(domain, "memory", "256", unit="MiB")
        element(domain, "vcpu", "2", current="1")
        machine = element(domain, "os")
        element(machine, "type", "hvm", arch="x86_64", machine="q35")
        if not bios:
            element(machine, "kernel", str(self.image.kernel))
            element(machine, "initrd", str(self.image.initrd))
            element(machine, "cmdline", self.image.cmdline)
        element(element(domain, "features"), "acpi")
        devices = element(domain, "devices")
        self._add_disk(devices, disk, "vda", "qcow2")
        element(self._add_disk(devices, seed, "vdb", "raw"), "readonly")
        element(element(devices, "serial", type="pty"), "log", file=str(serial))
        element(devices, "graphics", type="vnc", autoport="yes")
        element(element(devices, "video"), "model", type="vga")
        return domain

    @staticmethod
    def _add_card(devices: ET.Element, bridge: str) -> ET.Element:
        card = element(devices, "interface", type="bridge")
        element(card, "source", bridge=bridge)
        element(card, "model", type="virtio")
        return card

    @staticmethod
    def _plug_in(card: ET.Element, plug: Plug) -> None:
        """A userspace datapath does not finish offloaded checksums, so neither side may offload."""
        element(card, "mac", address=plug.mac)
        element(element(card, "virtualport", type="openvswitch"), "parameters", interfaceid=plug.port)
        driver = element(card, "driver")
        element(driver, "host", **OFFLOADS, gso="off")
        element(driver, "guest", **OFFLOADS)

    @staticmethod
    def _add_disk(devices: ET.Element, path: Path, target: str, kind: str) -> ET.Element:
        disk = element(devices, "disk", type="file", device="disk")
        element(disk, "driver", name="qemu", type=kind)
        element(disk, "source", file=str(path))
        element(disk, "target", dev=target, bus="virtio")
        return disk

    def reconnect(self) -> None:
        """Open a new connection, since a test has killed what the old one led to."""
        self.connection = libvirt.open(self.host.uri)

    def remove(self) -> None:
        """Remove them over a new connection, since a test may have killed what the old one led to."""
        connection = libvirt.open(self.host.uri)
        names = {guest.disk.stem for guest in self.made}
        for domain in [domain for domain in connection.listAllDomains() if domain.name() in names]:
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        connection.close()
        for guest in self.made:
            guest.disk.unlink(missing_ok=True)
