"""The catalogue of host commands: what programs really print is read, and nothing but what was meant is ever run."""
from dataclasses import replace
from uuid import UUID

import pytest

from compute.hosts.commands import catalogue, open_commands
from compute.hosts.commands.catalogue import CATALOGUE, Chassis, Counted, Counting, DiskSpace, KeptSnapshots, SwitchPort, TapPort
from compute.hosts.commands.contract import Command, Slot
from compute.hosts.drivers import ssh
from compute.hosts.drivers.contract import Address

PORT = UUID("3f1c9a52-6c1b-4a53-9b60-0d5a3fd0f5c1")
# As printed on Debian 12.
PRINTED = {
    "login": ("0\n", 0),
    "kept_snapshots": ('{"virtual-size": 2147483648, "format": "qcow2", "snapshots": [{"id": "1", "name": "3f1c"}]}',
                       KeptSnapshots(size=2**31, names=frozenset({"3f1c"}))),
    **dict.fromkeys(("take_snapshot", "apply_snapshot", "drop_snapshot", "copy_snapshot"), ("", None)),
    "console_log": ("Debian GNU/Linux 12 web ttyS0\n\nweb login: ", "Debian GNU/Linux 12 web ttyS0\n\nweb login: "),
    "remove_console_log": ("", None),
    "version.kernel": ("6.1.0-28-cloud-amd64\n", "6.1.0-28-cloud-amd64"),
    "version.os": ('NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
                   "Debian GNU/Linux 12 (bookworm)"),
    "version.libvirt": ("libvirtd (libvirt) 9.0.0\n", "9.0.0"),
    "version.qemu": ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright …\n", "7.2.22"),
    "version.ovs": ("ovs-vsctl (Open vSwitch) 3.1.0\nDB Schema 8.3.1\n", "3.1.0"),
    "version.ovn": ("ovn-controller 23.03.1\nOpen vSwitch Library 3.1.0\nOpenFlow versions 0x6:0x6\n", "23.03.1"),
    "disk_space": ("   1B-blocks       Avail\n270553174016 84163080192\n",
                   DiskSpace(capacity=270553174016, available=84163080192)),
    "chassis": (
        '{"data":[[["map",[["hostname","rack-1"],["ovn-bridge-datapath-type","netdev"],'
        '["ovn-bridge-mappings","public:br-ex, storage:br-st"],["ovn-encap-ip","198.19.7.11"],'
        '["ovn-remote","ssl:10.99.7.2:6642"],["system-id","rack-1"]]]]],"headings":["external_ids"]}\n',
        Chassis(name="rack-1", remote="ssl:10.99.7.2:6642", encap_ip="198.19.7.11", datapath="netdev",
                mappings={"public": "br-ex", "storage": "br-st"})),
    "chassis_status": ("not connected\n", "not connected"),
    "tap_ports": (
        '{"data":[["vnet0",["map",[["attached-mac","52:54:00:11:22:33"],["iface-id","PORT"],["iface-status","active"],'
        '["vm-id","6d61696e-0000-4000-8000-000000000001"]]]],["eth9",["map",[["iface-id","by-hand"]]]]],'
        '"headings":["name","external_ids"]}\n'.replace("PORT", str(PORT)),
        [TapPort(name="vnet0", port=str(PORT), domain="6d61696e-0000-4000-8000-000000000001"),
         TapPort(name="eth9", port="by-hand")]),
    "plug_port": ("", None),
    "unplug_port": ("", None),
    "switch_ports": (
        '{"data":[["vnet0",4,["map",[["iface-id","PORT"],["ovn-installed","true"]]]],["eth9",["set",[]],["map",[]]],'
        '["vnet9",-1,["map",[["iface-id","not yet"]]]],["patch-localnet-PORT-to-br-int",2,["map",[]]],'
        '["br-ex",65534,["map",[]]]],"headings":["name","ofport","external_ids"]}\n'.replace("PORT", str(PORT)),
        [SwitchPort(name="vnet0", number=4, port=str(PORT)), SwitchPort(name=f"patch-localnet-{PORT}-to-br-int", number=2),
         SwitchPort(name="br-ex", number=65534)]),
    "counted": (
        "NXST_FLOW reply (xid=0x4):\n"
        " cookie=0x6d6e730000000007, duration=6.889s, table=0, n_packets=3776, n_bytes=5492104, idle_age=5, "
        "priority=100,ip,in_port=2,nw_src=198.18.7.50 actions=NORMAL\n"
        " cookie=0x6d6e730000000008, duration=90061s, table=0, n_packets=0, n_bytes=0, idle_age=65534, hard_age=65534, "
        "priority=100,ip,in_port=2,nw_src=198.18.7.51 actions=NORMAL\n",
        [Counted(number=7, port=2, address="198.18.7.50", packets=3776, bytes=5492104, age_s=6.889),
         Counted(number=8, port=2, address="198.18.7.51", packets=0, bytes=0, age_s=90061)]),
    "count": ("", None),
    "uncount": ("", None),
}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_what_a_program_prints_is_read(name: str) -> None:
    printed, expected = PRINTED[name]
    assert CATALOGUE[name].parse(printed) == expected


@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() - {"console_log"}))  # a guest writes what it likes
def test_nonsense_is_not_read_as_something(name: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        CATALOGUE[name].parse("ovs-vsctl: something else entirely\n")


def test_a_chassis_says_which_setting_it_lacks() -> None:
    whole = PRINTED["chassis"][1]
    assert whole.missing == ""
    assert (replace(whole, name="").missing, replace(whole, remote="").missing) == ("system-id", "ovn-remote")


@pytest.mark.parametrize(("command", "values"), [
    (catalogue.PLUG_PORT, {"tap": "tap0; reboot", "port": PORT}),
    (catalogue.PLUG_PORT, {"tap": "--", "port": PORT}),
    (catalogue.PLUG_PORT, {"tap": "a" * 16, "port": PORT}),
    (catalogue.PLUG_PORT, {"tap": "tap0", "port": "not-a-uuid"}),
    (catalogue.UNPLUG_PORT, {"tap": ""}),
    (catalogue.UNPLUG_PORT, {"tap": "tap0", "port": PORT}),
    (catalogue.UNPLUG_PORT, {}),
    (catalogue.DISK_SPACE, {"path": "var/lib/mains"}),
    (catalogue.DISK_SPACE, {"path": "/var/lib/../../etc"}),
    (catalogue.DISK_SPACE, {"path": "/pool\n/etc"}),
    (catalogue.DISK_SPACE, {"path": "/a path"}),
    (catalogue.DISK_SPACE, {"path": "/"}),
    (catalogue.KEPT_SNAPSHOTS, {"path": "json:{}"}),
    (catalogue.TAKE_SNAPSHOT, {"path": "/pool/volume.qcow2", "name": "-d"}),
    (catalogue.COPY_SNAPSHOT, {"path": "/pool/volume.qcow2", "name": PORT, "target": "nbd://elsewhere"}),
    (catalogue.COUNTED, {"bridge": "br-ex; reboot"}),
    (catalogue.COUNT, {"bridge": "br-ex", "flow": "priority=9,actions=drop"}),
    (catalogue.COUNT, {"bridge": "br-ex", "flow": Counting(number=7, port=0, address="198.18.7.50")}),
    (catalogue.COUNT, {"bridge": "br-ex", "flow": Counting(number=7, port=2, address="any,actions=drop")}),
    (catalogue.COUNT, {"bridge": "br-ex", "flow": Counting(number=1 << 40, port=2, address="198.18.7.50")}),
    (catalogue.UNCOUNT, {"bridge": "br-ex", "number": 0}),
    (catalogue.UNCOUNT, {"bridge": "br-ex", "number": "7/0"}),
], ids=lambda one: getattr(one, "name", str(one)))
def test_only_what_a_slot_allows_is_filled_in(command: Command, values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        command.filled(**values)


def test_a_volume_is_read_as_what_it_was_made_and_its_name_hides_no_option() -> None:
    assert catalogue.TAKE_SNAPSHOT.filled(path="/pool/a,file.driver=nbd", name=PORT)[2:] == [
        "--image-opts", "-c", str(PORT), "driver=qcow2,file.driver=file,file.filename=/pool/a,,file.driver=nbd"]


def test_a_flow_that_counts_lets_everything_go_on() -> None:
    flow = Counting(number=7, port=2, address="198.18.7.50")
    assert catalogue.COUNT.filled(bridge="br-ex", flow=flow)[-2:] == [
        "br-ex", "cookie=0x6d6e730000000007,priority=100,ip,in_port=2,nw_src=198.18.7.50,actions=NORMAL"]
    assert catalogue.UNCOUNT.filled(bridge="br-ex", number=7)[-1] == "cookie=0x6d6e730000000007/-1"
    assert catalogue.COUNTED.filled(bridge="br-ex")[-1] == "cookie=0x6d6e730000000000/0xffffff0000000000"


def test_a_command_of_ones_own_is_run_nowhere(tmp_path) -> None:
    mine = Command(name="mine", words=("rm", "-rf", Slot("path", str)), parse=str)
    real = Address(uri="qemu+ssh://root@10.99.7.250/system", private_key="k", state_dir=str(tmp_path))
    for driver, address in (("simulated", Address(uri="simulated:memory/none")), ("libvirt", real)):
        for command in (mine, replace(catalogue.LOGIN, words=("reboot",))):
            with pytest.raises(ValueError, match="not in the catalogue"):
                open_commands(driver, address).run(command)


def test_every_word_is_quoted_for_the_shell_at_the_other_end(tmp_path) -> None:
    address = Address(uri="qemu+ssh://root@rack-1:2222/system", private_key="k", state_dir=str(tmp_path))
    *client, remote = ssh.client_words(address, ssh.target_of(address.uri), ["echo", "a b", "$(reboot)", "it's"])
    assert remote == """echo 'a b' '$(reboot)' 'it'"'"'s'"""
    assert client[-6:] == ["-l", "root", "-p", "2222", "--", "rack-1"]


# -- addresses and host keys --

@pytest.mark.parametrize(("text", "said"), [
    ("root@10.99.7.11", "root@10.99.7.11"), ("Rack-1", "root@rack-1"), ("admin@rack-1.example.org:2222",
                                                                        "admin@rack-1.example.org:2222"),
    ("root@[fd00::1]:2222", "root@[fd00::1]:2222"), (" root@10.99.7.11:22 ", "root@10.99.7.11")])
def test_ssh_addresses(text: str, said: str) -> None:
    target = ssh.parse_target(text)
    assert str(target) == said and ssh.target_of(f"qemu+ssh://{target}/system") == target


@pytest.mark.parametrize("text", ["", "root@", "-oProxyCommand=reboot", "root@-x", "a b", "root@host:0", "root@host:99999",
                                  "root@host;reboot", "qemu+ssh://root@host/system", "root@host\nother", "ROOT@host"])
def test_what_is_no_ssh_address(text: str) -> None:
    with pytest.raises(ValueError):
        ssh.parse_target(text)


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIlOKRU3fdkhFfsJjx6yNVNN6h/PUkauLW/Vjfrnh4yV"
PRINT = ssh.fingerprint(f"ssh-ed25519 {KEY}")


@pytest.mark.parametrize(("text", "kept"), [
    (f"rack-1 ssh-ed25519 {KEY} comment", f"[10.99.7.11]:2222 ssh-ed25519 {KEY}"),
    (f"ssh-ed25519 {KEY}", f"[10.99.7.11]:2222 ssh-ed25519 {KEY}"), (f" {PRINT} ", PRINT)])
def test_a_pasted_host_key_is_understood(text: str, kept: str) -> None:
    assert ssh.parse_host_key(text, ssh.parse_target("10.99.7.11:2222")) == kept
    assert ssh.fingerprint(kept) == PRINT and PRINT.startswith("SHA256:") and len(PRINT) == 50


@pytest.mark.parametrize("text", ["x", "ssh-ed25519", "ssh-dss AAAA", f"ssh-ed25519 {KEY[:-1]}!", "SHA256:short"])
def test_what_is_no_host_key(text: str) -> None:
    with pytest.raises(ValueError):
        ssh.parse_host_key(text, ssh.parse_target("10.99.7.11"))
