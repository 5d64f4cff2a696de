"""Real hosts of a lab, added by name and SSH address alone: nothing is known of them but what they show."""
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.hosts.commands import catalogue
from compute.hosts.connections import host_commands, hypervisor
from compute.hosts.drivers import ssh
from compute.hosts.identity import identity_of, public_line
from compute.hosts.models import Endpoint, Host, SshIdentity
from compute.hosts.operations import preparations, prepare_host
from compute.lab import HostFacts
from portal.kernel.models import AuditEvent
from portal.management.commands.seed_demo import Command
from storage.models import Image
from storage.operations import add_host
from tests.world import World, drain

pytestmark = [pytest.mark.lab, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def light(world: World) -> None:
    """No image is copied: what a copy is has its own tests."""
    Image.objects.all().update(visibility="private")


@pytest.fixture
def pool(lab: list[HostFacts]) -> Iterator[str]:
    """A pool of its own on the first host, gone afterwards with libvirt's note of it."""
    folder = Path(lab[0].pool_path).with_name("added")
    yield str(folder)
    for verb in ("pool-destroy", "pool-undefine"):
        run(lab[0], "virsh", verb, "mains")
    shutil.rmtree(folder, ignore_errors=True)


def run(facts: HostFacts, *words: str) -> str:
    """As the host's administrator."""
    account = f"{facts.user}@{facts.address}"
    return subprocess.run(["ssh", "-F", facts.ssh_config, account, *words], capture_output=True, text=True).stdout


def use_labs_key(world: World, facts: HostFacts) -> None:
    private = Path(facts.private_key).read_text()
    SshIdentity.objects.update_or_create(region=world.region, defaults={
        "private_key": private, "public_key": public_line(private)})


def added(world: World, facts: HostFacts, **more: str) -> Host:
    operation = add_host(facts.name, f"{facts.user}@{facts.address}", zone=world.zone, actor=world.people["root"], **more)
    drain()
    return Host.objects.select_related("endpoint").get(pk=operation.arguments["host"])


def again(world: World, host: Host) -> Host:
    prepare_host(host, actor=world.people["root"])
    drain()
    return Host.objects.select_related("endpoint").get(pk=host.pk)


def test_a_stranger_says_which_line_it_wants_and_is_ready_once_it_has_it(world: World, lab: list[HostFacts], pool: str) -> None:
    facts = lab[0]
    host = added(world, facts, pool_path=pool)
    line = identity_of(world.region).public_key
    assert host.fault["code"] == "host_login_refused" and line in host.state_reason
    keys = Path(facts.pool_path).parents[1] / "hosts" / "h1" / "authorized_keys"
    before = keys.read_text()
    keys.write_text(f"{before}{line}\n")
    try:
        host = again(world, host)
    finally:
        keys.write_text(before)
    assert host.state == "ready", host.state_reason
    assert (host.chassis, host.is_gateway, host.datapath) == (facts.chassis, True, "netdev")
    assert set(host.versions) == set(catalogue.VERSIONS) and all(host.versions.values())
    assert host.is_accelerated in (True, False) and host.capacity["memory_mib"] > 0 and host.disk_free_gib > 0
    shown = ssh.fingerprint(facts.public_host_key)
    event = AuditEvent.objects.get(action="host.key", target_id=host.pk)
    assert (host.endpoint.host_key_fingerprint, event.after["fingerprint"], event.after["was given"]) == (shown, shown, False)
    assert "PRIVATE KEY" not in str([*AuditEvent.objects.values_list("after", flat=True)])


def test_a_fingerprint_that_was_told_is_compared(world: World, lab: list[HostFacts], pool: str) -> None:
    use_labs_key(world, lab[0])
    right, wrong = ssh.fingerprint(lab[0].public_host_key), ssh.fingerprint(lab[1].public_host_key)
    host = added(world, lab[0], pool_path=pool, host_key=wrong)
    assert host.fault["code"] == "host_key_differs" and right in host.state_reason and wrong in host.state_reason
    Endpoint.objects.filter(host=host).update(host_key=right)
    host = again(world, host)
    assert host.state == "ready", host.state_reason
    assert host.endpoint.host_key == f"{lab[0].address} {lab[0].public_host_key}"
    # Another machine answers at the address: nothing is said to it, and the operator is told both fingerprints.
    Endpoint.objects.filter(host=host).update(host_key=f"{lab[0].address} {lab[1].public_host_key}")
    host = again(world, host)
    assert host.fault["code"] == "host_key_differs" and right in host.state_reason and wrong in host.state_reason


def test_no_host_at_the_address(world: World, lab: list[HostFacts]) -> None:
    gateway = lab[0].address.rpartition(".")[0] + ".2"
    for address, said in ((f"root@{lab[0].address}:2", "nothing listens there"), ("root@rack-1.invalid", "name is not known"),
                          (f"root@{gateway}:6641", "is no SSH server")):
        operation = add_host(f"nobody-{said[:4]}", address, zone=world.zone, actor=world.people["root"])
        drain()
        host = Host.objects.get(pk=operation.arguments["host"])
        assert (host.state, host.health, host.fault["code"]) == ("error", "unreachable", "host_silent")
        assert said in host.state_reason


@pytest.mark.slow
def test_an_ovn_controller_without_its_central_and_a_stopped_libvirtd_are_told(world: World, lab: list[HostFacts],
                                                                              pool: str) -> None:
    use_labs_key(world, lab[0])
    remote = run(lab[0], "ovs-vsctl", "get", "open_vswitch", ".", "external_ids:ovn-remote").strip().strip('"')
    nowhere = "ssl:10.99.255.254:6642"
    run(lab[0], "ovs-vsctl", "set", "open_vswitch", ".", f"external_ids:ovn-remote='\"{nowhere}\"'")
    try:
        host = added(world, lab[0], pool_path=pool)
    finally:
        run(lab[0], "ovs-vsctl", "set", "open_vswitch", ".", f"external_ids:ovn-remote='\"{remote}\"'")
    assert host.fault["code"] == "host_network_down" and nowhere in host.state_reason
    host = again(world, host)
    assert host.state == "ready", host.state_reason
    run(lab[0], "mv", "/run/libvirt/libvirt-sock", "/run/libvirt/aside")
    with hypervisor(host) as driver:
        driver._session.close()  # a connection that was open before would still answer
    try:
        host = again(world, host)
    finally:
        run(lab[0], "mv", "/run/libvirt/aside", "/run/libvirt/libvirt-sock")
    assert host.fault["code"] == "host_libvirt_silent" and "systemctl enable --now libvirtd" in host.state_reason
    assert again(world, host).state == "ready"


@pytest.mark.slow
def test_the_demo_adds_the_labs_hosts_as_chassis_of_one_network(world: World, lab: list[HostFacts]) -> None:
    document = json.loads((Path(lab[0].private_key).parents[1] / "lab.json").read_text())
    for _again in range(2):
        assert Command().hosts(world.region, world.zone, world.people["root"], document) == 3
        drain()
    hosts = list(Host.objects.exclude(pk=world.host.pk).order_by("name"))
    assert [host.state for host in hosts] == ["ready"] * 3, [host.state_reason for host in hosts]
    assert [host.chassis for host in hosts] == [facts.chassis for facts in lab]
    assert all(host.is_gateway for host in hosts)
    assert sum(host.capacity["memory_mib"] for host in hosts) <= hosts[0].memory_mib - 4000
    assert [preparations(host).get().state for host in hosts] == ["succeeded"] * 3
    with host_commands(hosts[0]) as commands:
        assert commands.run(catalogue.DISK_SPACE, path=lab[0].pool_path).available > 0
