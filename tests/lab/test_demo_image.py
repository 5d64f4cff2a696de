"""The demo image does what guests are tested and shown with: boots fast, knows who it is, obeys, remembers."""

import json
import time
from pathlib import Path

import libvirt
import pytest

from compute.lab import HostFacts
from compute.lab.image import DemoImage, build
from tests.lab.cloud import run_on
from tests.lab.guests import Guests, wait_for

pytestmark = pytest.mark.lab
SHELL = "$ \x1b[6n"  # the line editor asks a serial terminal where its cursor is
NETWORK_SCRIPT = """#!/bin/sh
ip address add 198.18.9.2/24 dev eth0
echo "script ran on $(hostname) with $(nproc) CPU" > /dev/ttyS0
"""


def test_it_is_small_and_its_manifest_is_true(image: DemoImage) -> None:
    manifest = json.loads(image.manifest.read_text())
    assert image.disk.stat().st_size <= 40 * 2**20
    assert manifest["virtual_size"] == image.virtual_size < 2**30
    assert {name: entry["size"] for name, entry in manifest["files"].items()} == {
        path.name: path.stat().st_size for path in (image.disk, image.kernel, image.initrd)
    }


def test_it_is_not_built_twice(image: DemoImage) -> None:
    stamp = image.disk.stat().st_mtime_ns
    began = time.monotonic()
    assert build(image.disk.parent) == image
    assert time.monotonic() - began < 0.5
    assert image.disk.stat().st_mtime_ns == stamp


def test_it_boots_by_its_own_kernel_says_its_name_and_obeys_the_power_button(guests: Guests) -> None:
    guest = guests.boot("swift")
    guest.await_login()
    assert guest.cpu_seconds() < 15  # 3 to 4 on an idle machine; seconds get shorter on a crowded one
    assert guest.logins() == ["swift"]
    assert guest.power_off_by_button() < 10  # 1 to 2 on an idle machine


def test_it_boots_from_its_own_disk_by_bios(guests: Guests) -> None:
    guest = guests.boot("stout", bios=True)
    guest.await_login()
    assert "SYSLINUX" in guest.said()
    assert guest.logins() == ["stout"]


@pytest.fixture
def host_bridge(host: HostFacts):
    """A bridge inside the host, on which only this test's guest hangs."""
    run_on(host, "ip", "link", "add", "testbr", "type", "bridge")
    run_on(host, "ip", "address", "add", "198.18.9.1/24", "dev", "testbr")
    run_on(host, "ip", "link", "set", "testbr", "up")
    for family in ("inet", "arp"):  # a host's kernel talks to nobody that it does not know
        run_on(host, "nft", "insert", "rule", family, "host", "input", "iifname", "testbr", "accept")
    yield "testbr"
    run_on(host, "ip", "link", "delete", "testbr")


def test_keys_script_http_hotplug_and_memory_of_a_guest_on_a_network(
    host: HostFacts, guests: Guests, host_bridge: str
) -> None:
    keys = f"public-keys:\n  - {Path(host.private_key).with_suffix('.pub').read_text()}"
    guest = guests.boot("ready", user_data=NETWORK_SCRIPT, meta_data=keys, bridge=host_bridge)
    guest.await_saying("script ran on ready with 1 CPU")
    wait_for(lambda: "<h1>ready</h1>" in run_on(host, "curl", "-s", "http://198.18.9.2/").stdout, "HTTP")
    unchecked = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    options = ["-i", host.private_key, "-o", "BatchMode=yes", *unchecked]

    def inside(command: str, user: str = "demo") -> str:
        return run_on(host, "ssh", *options, f"{user}@198.18.9.2", f"'{command}'").stdout.strip()

    wait_for(lambda: inside("hostname") == "ready", "SSH with the key of the NoCloud drive")
    device, size_mib, *_ = inside("echo kept > note; df -m /data | tail -n 1").split()
    assert device == "/dev/vda2"
    assert int(size_mib) > 800  # grown from 224 MiB into the 1 GiB disk

    guest.domain.setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    wait_for(lambda: inside("nproc") == "2", "the second CPU online")

    guest.domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
    guest.await_login(count=2)
    guest.answer(("login: ", "demo"), ("Password: ", "demo"), (SHELL, "cat note"))
    guest.await_saying("\nkept\n")
    assert guest.said().count("script ran on") == 1


def test_the_password_of_user_data_replaces_the_documented_one(guests: Guests) -> None:
    guest = guests.boot("locked", user_data="#cloud-config\nhostname: renamed\npassword: 'sesame street'\n")
    guest.await_login()
    assert guest.logins() == ["renamed"]
    guest.answer(("login: ", "demo"), ("Password: ", "demo"))
    guest.await_saying("Login incorrect")
    guest.answer(("login: ", "demo"), ("Password: ", "sesame street"), (SHELL, "echo I am $(whoami)"))
    guest.await_saying("I am demo")
