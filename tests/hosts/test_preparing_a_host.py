"""A host is added by its name and address; whatever keeps it from being ready says what to do, and doing it helps."""
from dataclasses import dataclass

import pytest
from django.utils import translation

from compute.hosts import declared
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Endpoint, Host
from compute.hosts.operations import preparations, prepare_host
from compute.hosts.steps import TRIES
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent, Operation
from portal.templatetags.ui import error_text
from storage.models import ImageCopy, Pool
from storage.operations import add_host
from storage.pools.simulated import SimulatedPool
from tests.world import World, drain

from .conftest import AddSimulated


def fresh(host: Host) -> Host:
    return Host.objects.with_claims().select_related("endpoint").get(pk=host.pk)


def hand_of(host: Host) -> SimulatedHost:
    return SimulatedHost(host.endpoint.uri)


def test_a_name_and_an_address_are_enough(world: World, add: AddSimulated) -> None:
    host = add("rack-2", "?vcpus=8&memory_mib=16384")
    assert (host.state, host.health, host.state_reason, host.advice) == ("ready", "up", "", [])
    assert (host.chassis, host.is_gateway, host.datapath) == ("rack-2", True, "system")
    assert host.versions["libvirt"] == "9.0.0" and host.capacity == {"vcpu": 32, "memory_mib": 15872}
    assert host.disk_free_gib > 4000 and Pool.objects.get(host=host).path == "/var/lib/mains"
    operation = preparations(host).get()
    assert [entry["outcome"] for entry in operation.history] == ["done"] * 8
    for action in ("host.add", "host.prepare"):
        assert AuditEvent.objects.filter(action=action, target_id=host.pk, actor=world.people["root"]).exists()


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a host, what its operator is told, and how it is mended."""

    code: str
    says: str
    facts: dict[str, object]
    mended: dict[str, object]
    in_a_region_with_networks: bool = False


OLD = {"libvirt": "6.0.0"}
TROUBLES = {
    "login refused": Trouble(code="host_login_refused", says="put this line into .ssh/authorized_keys of root",
                             facts={"refuses": "login"}, mended={"refuses": ""}),
    "another host key": Trouble(code="host_key_differs", says="empty the host key of its endpoint",
                                facts={"refuses": "host key"}, mended={"refuses": ""}),
    "not root": Trouble(code="host_not_root", says="give the address as root@", facts={"user_id": 1000}, mended={"user_id": 0}),
    "no libvirt": Trouble(code="host_program_missing", says="apt-get install libvirt-daemon-system",
                          facts={"versions": {"libvirt": None}}, mended={"versions": {}}),
    "no QEMU": Trouble(code="host_program_missing", says="apt-get install qemu-system-x86 qemu-utils",
                       facts={"versions": {"qemu": None}}, mended={"versions": {}}),
    "old libvirt": Trouble(code="host_program_too_old", says="libvirt 6.0.0 is too old, 7.0 or newer is needed",
                           facts={"versions": OLD}, mended={"versions": {}}),
    "OVN not connected": Trouble(code="host_network_down", says="ovn-controller is not connected to ssl:192.0.2.1:6642",
                                 facts={"chassis_status": "not connected"}, mended={"chassis_status": "connected"}),
    "chassis of another": Trouble(code="host_chassis_twice", says="The host sim-1 has the chassis name sim-1 too",
                                  facts={"chassis": {"name": "sim-1"}}, mended={"chassis": {}}),
    "no OVN": Trouble(code="host_network_missing", says="apt-get install openvswitch-switch ovn-host",
                      facts={"versions": {"ovn": None}}, mended={"versions": {}}, in_a_region_with_networks=True),
    "OVN not set up": Trouble(code="host_network_not_set_up", says="external_ids:ovn-encap-ip=",
                              facts={"chassis": {"encap_ip": ""}}, mended={"chassis": {}}, in_a_region_with_networks=True),
    "no answer": Trouble(code="host_silent", says="Check the address", facts={"unreachable": True},
                         mended={"unreachable": False}),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_each_trouble_says_what_to_do_and_doing_it_helps(world: World, add: AddSimulated, trouble: Trouble,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "network_rooms", [
        lambda region: frozenset({"public"}) if trouble.in_a_region_with_networks else None])
    if trouble.facts == {"unreachable": True}:
        host = add()
        hand_of(host).set_unreachable()
        prepare_host(host, actor=world.people["root"])
        drain()
        host = fresh(host)
    else:
        host = add(**trouble.facts)
    assert (host.state, host.fault["code"]) == ("error", trouble.code)
    assert trouble.says in host.state_reason == error_text(host.fault)
    assert preparations(host).first().error["code"] == trouble.code
    hand_of(host).set_up(**trouble.mended)
    prepare_host(host, actor=world.people["root"])
    drain()
    host = fresh(host)
    assert (host.state, host.fault, host.health) == ("ready", None, "up")


FAULTS = {
    "inventory": ("unreachable", "host_libvirt_silent", "systemctl enable --now libvirtd"),
    "accelerates": ("error", "host_libvirt_silent", "systemctl enable --now libvirtd"),
    "ensure_pool": ("error", "host_pool_unusable", "The pool directory /var/lib/mains cannot be used"),
    "ensure_uploaded": ("error", "host_images_missing", "df -h /var/lib/mains"),
    "ssh.chassis": ("error", "host_switch_silent", "systemctl enable --now openvswitch-switch"),
    "ssh.chassis_status": ("error", "host_network_down", "systemctl enable --now ovn-host"),
    "ssh.login": ("hang", "host_silent", "No SSH server answers"),
}


@pytest.mark.parametrize("verb", FAULTS)
def test_a_daemon_that_fails_is_named_with_its_remedy(world: World, add: AddSimulated, tmp_path, verb: str) -> None:
    kind, code, says = FAULTS[verb]
    hand = SimulatedHost(f"simulated://{tmp_path}/rack-2")
    hand.fail(verb, kind=kind, times=99)
    host = add("rack-2")
    assert (host.state, host.fault["code"]) == ("error", code) and says in host.state_reason
    hand.heal()
    prepare_host(host, actor=world.people["root"])
    drain()
    assert fresh(host).state == "ready"


@pytest.mark.parametrize("verb", ["ssh.login", "inventory", "ensure_pool"])
def test_what_passes_by_itself_is_tried_again(world: World, add: AddSimulated, tmp_path, verb: str) -> None:
    SimulatedHost(f"simulated://{tmp_path}/rack-2").fail(verb, kind="unreachable", times=TRIES - 1)
    assert add("rack-2").state == "ready"


ADVICE = {
    "host_without_kvm": {"host": {"hostname": "rack-2", "vcpus": 4, "memory_mib": 8192, "disk_gib": 100, "accelerates": False}},
    "host_program_untested": {"versions": {"qemu": "6.2.0"}},
    "host_without_network": {"versions": {"ovs": None, "ovn": None}},
    "host_without_public_network": {"chassis": {"mappings": {"storage": "br-st"}}},
}


@pytest.mark.parametrize("code", ADVICE)
def test_what_could_be_better_is_told_and_keeps_nobody_from_working(world: World, add: AddSimulated, code: str,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    if code == "host_without_public_network":  # of a region whose VPCs go out by another than the host is plugged into
        monkeypatch.setattr(declared, "network_rooms", [lambda region: frozenset({"public"})])
    host = add(**ADVICE[code])
    assert host.state == "ready" and [row["code"] for row in host.advice] == [code]
    [text] = host.advice_texts
    assert text == error_text(host.advice[0]) and len(text) > 40
    assert bool(host.chassis) == (code != "host_without_network")
    assert host.is_gateway == (code not in ("host_without_network", "host_without_public_network"))


def test_a_host_with_nothing_left_for_instances_is_not_ready(world: World, add: AddSimulated) -> None:
    host = add("tiny", "?memory_mib=512")
    assert host.fault["code"] == "host_too_small" and "512 MiB" in host.state_reason


def test_one_machine_is_added_once(world: World, add: AddSimulated) -> None:
    host = add("rack-2", "?hostname=sim-1")
    assert host.fault["code"] == "host_added_twice" and "is the host sim-1 already" in host.state_reason
    assert host.host_uuid is None


def test_the_reason_follows_the_readers_language() -> None:
    host = Host(fault={"code": "cancelled", "detail": "what was said then", "facts": {}})
    english = host.state_reason
    with translation.override("zh-hans"):
        assert host.state_reason != english and "what was said then" not in host.state_reason
    assert Host(fault={"code": "of another time", "facts": {}}).state_reason == "An unexpected fault; see the portal's log."
    assert Host().state_reason == ""


def test_a_preparation_that_is_under_way_goes_on(world: World) -> None:
    first = prepare_host(world.host, actor=world.people["root"])
    assert prepare_host(world.host, actor=world.people["alice"]) == first
    assert Host.objects.get(pk=world.host.pk).state == "preparing"
    drain()
    assert prepare_host(world.host, actor=world.people["root"]) != first


@pytest.mark.parametrize(("field", "changes"), [
    ("name", {"name": "sim-1"}), ("address", {"address": "root@10.99.7.11"}), ("address", {"address": "not an address"}),
    ("address", {"address": "root@-oProxyCommand=x"}), ("host_key", {"host_key": "nonsense"}),
    ("pool_path", {"pool_path": "relative"}), ("pool_path", {"pool_path": "/"}), ("pool_path", {"pool_path": "/a/../etc"}),
])
def test_what_cannot_be_is_refused_by_field_and_nothing_is_left(world: World, field: str, changes: dict[str, str]) -> None:
    Endpoint.objects.create(name="other", driver="libvirt", uri="qemu+ssh://root@10.99.7.11/system")
    before = (Host.objects.count(), Endpoint.objects.count(), Pool.objects.count(), Operation.objects.count())
    order = {"name": "rack-2", "address": "root@10.99.7.12"} | changes
    with pytest.raises(InvalidInput) as refused:
        add_host(**order, zone=world.zone, actor=world.people["root"])
    assert list(refused.value.errors) == [field]
    assert before == (Host.objects.count(), Endpoint.objects.count(), Pool.objects.count(), Operation.objects.count())


def test_an_ssh_address_makes_a_libvirt_endpoint(world: World) -> None:
    operation = add_host("rack-2", "rack-2:2222", zone=world.zone, actor=world.people["root"], pool_path="/srv/mains/",
                         host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIlOKRU3fdkhFfsJjx6yNVNN6h/PUkauLW/Vjfrnh4yV")
    host = Host.objects.select_related("endpoint").get(pk=operation.arguments["host"])
    assert (host.endpoint.driver, host.endpoint.uri) == ("libvirt", "qemu+ssh://root@rack-2:2222/system")
    assert host.endpoint.host_key.startswith("[rack-2]:2222 ssh-ed25519 AAAA")
    assert Pool.objects.get(host=host).path == "/srv/mains" and host.zone == world.zone


def test_a_slice_of_an_image_takes_a_part_of_a_lease(world: World, add: AddSimulated, settings, monkeypatch) -> None:
    given, send = [], SimulatedPool.ensure_uploaded

    def slowly(pool: SimulatedPool, name: str, source: str, *, limit: int, seconds: float, **how: object) -> int:
        """A line that gets so far in the time that it was given."""
        given.append(seconds)
        return send(pool, name, source, limit=min(limit, 1000), **how)

    monkeypatch.setattr(SimulatedPool, "ensure_uploaded", slowly)
    settings.ENGINE = settings.ENGINE | {"lease_s": 60}
    host = add("rack-2", "")
    copies = ImageCopy.objects.filter(pool__host=host)
    assert given and max(given) == 20
    assert all(copy.is_complete and copy.offsets[part] == described["size"]
               for copy in copies for part, described in copy.image.files.items())
