"""Steps that make a host ready. Each is safe to repeat; storage composes them with those of its pools.

A step fails with an `Obstacle`, which says what the operator does about it. What may pass by itself (a daemon that just
starts) is tried a few times before. What could be better and keeps nobody from working is noted as advice.
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from compute.hosts import obstacles
from compute.hosts.commands import HostCommands, catalogue
from compute.hosts.connections import host_commands, hypervisor
from compute.hosts.declared import has_networks, public_networks, tell_chassis_changed
from compute.hosts.drivers import reasons, ssh
from compute.hosts.identity import authorized_line
from compute.hosts.models import Endpoint, Host
from compute.hosts.obstacles import Obstacle
from portal.kernel import audit
from portal.kernel.errors import HostFault, HostUnreachable
from portal.kernel.operations import Done, Run, Wait
from portal.kernel.states import database_now

# How often a fault that may pass by itself is met before it is told.
TRIES = 3
# How long ovn-controller may take to find its central; seconds.
CONNECT_LIMIT_S = 10

PROGRAMS = {"kernel": "Linux", "os": "", "libvirt": "libvirt", "qemu": "QEMU", "ovs": "Open vSwitch", "ovn": "OVN"}
PACKAGES = {"libvirt": "libvirt-daemon-system", "qemu": "qemu-system-x86 qemu-utils"}
NEEDED = {"libvirt": "7.0", "qemu": "5.2"}
TESTED = {"libvirt": "9.0", "qemu": "7.2", "ovs": "3.1", "ovn": "23.03"}


def host_of(run: Run) -> Host:
    return Host.objects.select_related("endpoint", "region").get(pk=run.arguments["host"])


def _where(endpoint: Endpoint) -> str:
    return endpoint.target.known_as if endpoint.target else endpoint.uri


def _advise(run: Run, step: str, *advice: Obstacle) -> None:
    """What this step has to say replaces what it said before; kept with the operation until it settles."""
    run.facts.setdefault("advice", {})[step] = [one.as_row() for one in advice]


@contextmanager
def told(run: Run, host: Host, obstacle: Callable[[HostFault], Obstacle], *, tries: int = TRIES) -> Iterator[None]:
    """Host faults in the block become the obstacle; passing ones only when they came again and again."""
    try:
        yield
    except ssh.LoginRefused as fault:
        raise _login_refused(host) from fault
    except ssh.OtherHostKey as fault:
        raise _key_differs(run, host) from fault
    except HostFault as fault:
        if fault.transient and run.operation.attempts + 1 < tries:
            raise
        raise obstacle(fault) from fault


def _reason(fault: HostFault) -> object:
    return fault.facts.get("reason", "")


def _login_refused(host: Host) -> Obstacle:
    endpoint = host.endpoint
    return obstacles.LoginRefused(user=endpoint.target.user if endpoint.target else "root", address=_where(endpoint),
                                  public_key=authorized_line(endpoint, host.region))


def _key_differs(run: Run, host: Host) -> Obstacle:
    endpoint = host.endpoint
    shown = _shown_keys(run, host)[0] if endpoint.target else ""
    return obstacles.HostKeyDiffers(address=_where(endpoint), shown=ssh.fingerprint(shown) or "–",
                                    known=endpoint.host_key_fingerprint or "–")


# -- reach: is it the host that we know, and does it let us in? --

def reach(run: Run) -> None:
    """The host's key is known, and checked from now on; our login works and is root's."""
    host = host_of(run)
    if not host.endpoint.takes_commands:
        return
    _know_host_key(run, host)
    with told(run, host, lambda fault: _silent(host, fault)), host_commands(host, run) as commands:
        is_root = commands.run(catalogue.LOGIN) == 0
    if not is_root:
        target = host.endpoint.target
        raise obstacles.NotRoot(user=target.user if target else "", address=_where(host.endpoint))


def _silent(host: Host, fault: HostFault) -> Obstacle:
    return obstacles.HostSilent(address=_where(host.endpoint), reason=_reason(fault))


def _know_host_key(run: Run, host: Host) -> None:
    """First contact: the key that is shown is kept, if it is the one that was told (when one was told)."""
    endpoint = host.endpoint
    if endpoint.target is None or ssh.names_a_host(endpoint.host_key):
        return
    shown, given = _shown_keys(run, host), endpoint.host_key_fingerprint
    line = next((line for line in shown if ssh.fingerprint(line) == given), None) if endpoint.host_key else shown[0]
    if line is None:
        raise obstacles.HostKeyDiffers(address=_where(endpoint), shown=ssh.fingerprint(shown[0]), known=given or "–")
    with run.guarded():
        Endpoint.objects.filter(pk=endpoint.pk).update(host_key=line)
        audit.record("host.key", host, actor=run.operation.actor, operation=run.operation, after={
            "address": str(endpoint.target), "fingerprint": ssh.fingerprint(line), "was given": bool(endpoint.host_key)})
    endpoint.host_key = line


def _shown_keys(run: Run, host: Host) -> list[str]:
    with told(run, host, lambda fault: _silent(host, fault)):
        return ssh.scan_host_keys(host.endpoint.target, run)


# -- versions --

def versions(run: Run) -> None:
    """What runs on the host is written down; what is missing or too old is refused, what is older than tested, noted."""
    host = host_of(run)
    if not host.endpoint.takes_commands:
        return
    with told(run, host, lambda fault: _silent(host, fault)), host_commands(host, run) as commands:
        found = {name: _version(commands, name) for name in catalogue.VERSIONS}
    with run.guarded():
        Host.objects.filter(pk=host.pk).update(versions=found)
    for name, packages in PACKAGES.items():
        if not found[name]:
            raise obstacles.ProgramMissing(program=PROGRAMS[name], packages=packages)
    for name, oldest in NEEDED.items():
        if _numbers(found[name]) < _numbers(oldest):
            raise obstacles.ProgramTooOld(program=PROGRAMS[name], found=found[name], wanted=oldest)
    _advise(run, "versions", *(
        obstacles.ProgramUntested(program=PROGRAMS[name], found=found[name], wanted=tested)
        for name, tested in TESTED.items() if found[name] and _numbers(found[name]) < _numbers(tested)))


def _version(commands: HostCommands, name: str) -> str:
    """Empty for what is not installed, or does not say."""
    try:
        return commands.run(catalogue.VERSIONS[name])
    except HostUnreachable:
        raise
    except HostFault:
        return ""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


# -- the hypervisor --

def discover(run: Run) -> None:
    """Connect, and write down what the host has."""
    host = host_of(run)
    with told(run, host, lambda fault: obstacles.LibvirtSilent(reason=_reason(fault))), hypervisor(host, run) as driver:
        found, capabilities = driver.inventory(), driver.capabilities
    twin = Host.objects.filter(host_uuid=found.host_uuid).exclude(pk=host.pk).first() if found.host_uuid else None
    if twin is not None:
        raise obstacles.AddedTwice(other=twin.name)
    with run.guarded():
        Host.objects.filter(pk=host.pk).update(
            hostname=found.hostname, host_uuid=found.host_uuid, architecture=found.architecture, vcpus=found.vcpus,
            memory_mib=found.memory_mib, traits=sorted(found.traits), hypervisor=f"{found.hypervisor} {found.hypervisor_version}",
            health=Host.Health.UP, health_reason="", last_seen_at=database_now())
        host.endpoint.capabilities = asdict(capabilities)
        host.endpoint.save(update_fields=["capabilities"])


def probe(run: Run) -> None:
    """Does KVM really run? Found by booting a probe guest, not by looking for /dev/kvm."""
    host = host_of(run)
    with told(run, host, lambda fault: obstacles.LibvirtSilent(reason=_reason(fault))), hypervisor(host, run) as driver:
        accelerated = driver.accelerates()
    with run.guarded():
        Host.objects.filter(pk=host.pk).update(is_accelerated=accelerated)
    _advise(run, "probe", *([] if accelerated else [obstacles.WithoutKvm()]))


# -- the network --

def network(run: Run) -> Done | Wait:
    """Which chassis of the region's OVN the host is, and whether it reaches the public network. A host without OVN is
    for regions without networks; placement keeps instances that have ports away from it."""
    host = host_of(run)
    chassis = _chassis(run, host)
    if chassis is None or chassis.missing:
        if has_networks(host.region):
            raise obstacles.NetworkNotSetUp(missing=chassis.missing) if chassis else obstacles.NetworkMissing()
        return _write_chassis(run, host, None)
    twin = Host.objects.filter(region=host.region, chassis=chassis.name).exclude(pk=host.pk).first()
    if twin is not None:
        raise obstacles.ChassisTwice(other=twin.name, chassis=chassis.name)
    if _chassis_status(run, host, chassis.remote) != "connected":
        return _still_connecting(run, chassis.remote)
    return _write_chassis(run, host, chassis)


def _chassis(run: Run, host: Host) -> catalogue.Chassis | None:
    """None when OVN is not installed there, or the host takes no commands."""
    if not host.endpoint.takes_commands or not (host.versions.get("ovs") and host.versions.get("ovn")):
        return None
    with told(run, host, lambda fault: obstacles.SwitchSilent(reason=_reason(fault))), host_commands(host, run) as commands:
        return commands.run(catalogue.CHASSIS)


def _chassis_status(run: Run, host: Host, remote: str) -> str:
    with told(run, host, lambda fault: obstacles.NetworkDown(remote=remote, reason=_reason(fault))), \
            host_commands(host, run) as commands:
        return commands.run(catalogue.CHASSIS_STATUS)


def _still_connecting(run: Run, remote: str) -> Wait:
    looks = run.facts.get("looks", 0)
    if looks >= CONNECT_LIMIT_S:
        raise obstacles.NetworkDown(remote=remote, reason=reasons.NOT_CONNECTED)
    run.facts["looks"] = looks + 1
    return Wait(1)


def _write_chassis(run: Run, host: Host, chassis: catalogue.Chassis | None) -> Done:
    mapped = frozenset(chassis.mappings) if chassis else frozenset()
    unreached = sorted(public_networks(host.region) - mapped)
    reaches_public = bool(mapped) and not unreached
    facts = {"chassis": chassis.name, "datapath": chassis.datapath} if chassis else {"chassis": "", "datapath": ""}
    with run.guarded():
        Host.objects.filter(pk=host.pk).update(is_gateway=reaches_public, **facts)
        if (host.chassis, host.is_gateway) != (facts["chassis"], reaches_public):
            tell_chassis_changed(host.region)
    if chassis is None:
        _advise(run, "network", obstacles.WithoutNetwork())
    else:
        _advise(run, "network", *(obstacles.WithoutPublicNetwork(network=name) for name in unreached))
    return Done()


# -- the end --

def capacity(run: Run) -> None:
    """Something is left for instances."""
    host = host_of(run)
    if min(host.capacity.values()) < 1:
        raise obstacles.TooSmall(memory_mib=host.memory_mib, reserved_mib=host.reserved_memory_mib)


def prepared(run: Run) -> dict:
    advice = [row for rows in run.facts.get("advice", {}).values() for row in rows]
    Host.objects.filter(pk=run.arguments["host"]).update(state=Host.State.READY, fault=None, advice=advice)
    return {"host": run.arguments["host"]}


def not_prepared(run: Run, error: dict) -> None:
    rows = Host.objects.filter(pk=run.arguments["host"])
    rows.update(state=Host.State.ERROR, fault=error)
    if error.get("code") in (obstacles.HostSilent.code, obstacles.LoginRefused.code, obstacles.HostKeyDiffers.code):
        rows.update(health=Host.Health.UNREACHABLE, health_reason=str(error.get("facts", {}).get("reason", "")))
