"""The hypervisor contract, told once and run on every driver."""
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from compute.hosts.drivers.contract import Cause, Hypervisor, Power
from compute.hosts.drivers.spec import Disk, Domain, Interface, NoBacking
from portal.kernel.errors import HostFault, StaleGeneration

from .conftest import wait_until
from .guests import small_domain
from .stands import Stand

VERBS: dict[str, Callable[[Hypervisor, UUID, int], None]] = {
    "start": lambda host, uuid, generation: host.ensure_started(uuid, generation),
    "shutdown": lambda host, uuid, generation: host.request_shutdown(uuid, generation),
    "stop": lambda host, uuid, generation: host.ensure_stopped(uuid, generation),
    "absent": lambda host, uuid, generation: host.ensure_absent(uuid, generation),
    "pause": lambda host, uuid, generation: host.ensure_paused(uuid, generation),
    "suspend": lambda host, uuid, generation: host.ensure_suspended(uuid, generation),
    "resume": lambda host, uuid, generation: host.ensure_resumed(uuid, generation),
    "size": lambda host, uuid, generation: host.ensure_size(uuid, generation, vcpus=1, memory_mib=32),
    "define": lambda host, uuid, generation: host.ensure_defined(small_domain(
        "/none", uuid=uuid, generation=generation, devices=(), type="qemu")),
}


class Recorder:
    """A fence that writes down what passes, and can be shut."""

    def __init__(self, *, shut_before: str | None = None) -> None:
        self.before_calls: list[str] = []
        self.after_calls: list[str] = []
        self._shut_before = shut_before

    def before(self, verb: str) -> None:
        if verb == self._shut_before:
            raise PermissionError(verb)
        self.before_calls.append(verb)

    def after(self, verb: str) -> None:
        self.after_calls.append(verb)


def started(stand: Stand, **more: object) -> Domain:
    spec = stand.new_domain(**more)
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    return spec


def power_of(stand: Stand, uuid: UUID) -> Power | None:
    view = stand.hypervisor().domain(uuid)
    return view.power if view else None


# -- definitions ---------------------------------------------------------------------------------------------------


def test_a_defined_domain_is_off_and_bears_its_generation(stand: Stand) -> None:
    spec = stand.new_domain(generation=7)
    stand.hypervisor().ensure_defined(spec)
    view = stand.hypervisor().domain(spec.uuid)
    assert (view.uuid, view.name, view.power) == (spec.uuid, spec.name, Power.OFF)
    assert (view.generation, view.is_ours, view.persistent) == (7, True, True)


def test_defining_twice_leaves_one_domain(stand: Stand) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_defined(spec)
    assert [view.uuid for view in stand.hypervisor().domains() if view.name == spec.name] == [spec.uuid]


def test_defining_a_running_domain_anew_leaves_it_running(stand: Stand) -> None:
    spec = started(stand, generation=1)
    stand.hypervisor().ensure_defined(stand.domain_on(
        spec.disks[0].file, uuid=spec.uuid, generation=2, memory_mib=48))
    view = stand.hypervisor().domain(spec.uuid)
    assert (view.power, view.generation) == (Power.RUNNING, 2)


def test_a_name_that_another_domain_bears_is_refused(stand: Stand) -> None:
    first, second = stand.new_domain(name="mains-taken"), stand.new_domain(name="mains-taken")
    stand.hypervisor().ensure_defined(first)
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_defined(second)
    assert stand.hypervisor().domain(second.uuid) is None


def test_an_unknown_domain_is_none(stand: Stand) -> None:
    assert stand.hypervisor().domain(uuid4()) is None


# -- power -----------------------------------------------------------------------------------------------------------


def test_starting_makes_it_run_and_starting_again_is_success(stand: Stand) -> None:
    spec = started(stand)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.RUNNING


def test_what_is_not_defined_does_not_start(stand: Stand) -> None:
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_started(uuid4(), 1)


def test_a_definition_of_an_older_generation_does_not_start(stand: Stand) -> None:
    spec = stand.new_domain(generation=1)
    stand.hypervisor().ensure_defined(spec)
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_started(spec.uuid, 2)
    assert power_of(stand, spec.uuid) == Power.OFF


def test_a_paused_domain_stays_paused_when_started(stand: Stand) -> None:
    spec = started(stand)
    stand.hand.pause(spec.uuid)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.PAUSED
    assert stand.hypervisor().domain(spec.uuid).cause == Cause.HAND


def test_stopping_cuts_the_power_and_stopping_again_is_success(stand: Stand) -> None:
    spec = started(stand)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.OFF


def test_a_stopped_domain_starts_again(stand: Stand) -> None:
    spec = started(stand)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.RUNNING


@pytest.mark.parametrize("verb", ["shutdown", "stop", "absent"])
def test_what_is_absent_is_shut_down_stopped_and_removed_already(stand: Stand, verb: str) -> None:
    VERBS[verb](stand.hypervisor(), uuid4(), 1)


def test_pressing_the_button_of_a_domain_that_is_off_is_success(stand: Stand) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().request_shutdown(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.OFF


@pytest.mark.needs("deaf guests")
def test_a_guest_may_ignore_its_power_button(stand: Stand) -> None:
    spec = started(stand)
    if stand.driver == "simulated":
        stand.hand.ignore_acpi(spec.uuid)
    stand.hypervisor().request_shutdown(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.RUNNING


def test_removing_a_running_domain_leaves_nothing_and_removing_again_is_success(stand: Stand) -> None:
    spec = started(stand)
    stand.hypervisor().ensure_absent(spec.uuid, spec.generation)
    stand.hypervisor().ensure_absent(spec.uuid, spec.generation)
    assert stand.hypervisor().domain(spec.uuid) is None
    assert spec.uuid not in {view.uuid for view in stand.hypervisor().domains()}


def test_a_domain_that_lost_its_definition_is_still_ours_until_it_stops(stand: Stand) -> None:
    spec = started(stand, generation=3)
    stand.hand.undefine(spec.uuid)
    view = stand.hypervisor().domain(spec.uuid)
    assert (view.persistent, view.power, view.generation) == (False, Power.RUNNING, 3)
    assert view in stand.hypervisor().domains()
    stand.hypervisor().ensure_stopped(spec.uuid, 3)
    assert stand.hypervisor().domain(spec.uuid) is None


@pytest.mark.needs("crashes")
def test_a_domain_whose_process_died_is_seen_as_crashed_and_starts_again(stand: Stand) -> None:
    spec = started(stand)
    stand.hand.crash(spec.uuid)
    wait_until(lambda: power_of(stand, spec.uuid) == Power.CRASHED)
    found = [(view.power, view.cause) for view in stand.hypervisor().domains() if view.uuid == spec.uuid]
    assert found == [(Power.CRASHED, Cause.CRASH)]
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.RUNNING


# -- pause and suspend -----------------------------------------------------------------------------------------------


def suspended(stand: Stand) -> Domain:
    spec = started(stand, generation=3)
    wait_until(lambda: stand.hypervisor().ensure_suspended(spec.uuid, 3))
    return spec


def resume(stand: Stand, uuid: UUID, generation: int) -> None:
    wait_until(lambda: stand.hypervisor().ensure_resumed(uuid, generation))


def test_pausing_and_resuming_twice_is_success(stand: Stand) -> None:
    spec = started(stand)
    for _again in range(2):
        stand.hypervisor().ensure_paused(spec.uuid, spec.generation)
        assert power_of(stand, spec.uuid) == Power.PAUSED
    for _again in range(2):
        resume(stand, spec.uuid, spec.generation)
        assert power_of(stand, spec.uuid) == Power.RUNNING


def test_a_paused_domain_is_stopped_by_cutting_its_power(stand: Stand) -> None:
    spec = started(stand)
    stand.hypervisor().ensure_paused(spec.uuid, spec.generation)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.OFF


def test_suspending_and_resuming_twice_is_success(stand: Stand) -> None:
    spec = suspended(stand)
    assert stand.hypervisor().ensure_suspended(spec.uuid, 3)
    assert power_of(stand, spec.uuid) == Power.SUSPENDED
    assert [view.power for view in stand.hypervisor().domains() if view.uuid == spec.uuid] == [Power.SUSPENDED]
    for _again in range(2):
        resume(stand, spec.uuid, 3)
        assert power_of(stand, spec.uuid) == Power.RUNNING


def test_a_suspended_domain_is_resumed_by_a_newer_generation_only_when_it_was_defined(stand: Stand) -> None:
    spec = suspended(stand)
    stand.hypervisor().ensure_defined(stand.domain_on(spec.disks[0].file, uuid=spec.uuid, generation=4))
    assert power_of(stand, spec.uuid) == Power.SUSPENDED
    with pytest.raises(StaleGeneration):
        stand.hypervisor().ensure_resumed(spec.uuid, 3)
    resume(stand, spec.uuid, 4)
    view = stand.hypervisor().domain(spec.uuid)
    assert (view.power, view.generation) == (Power.RUNNING, 4)
    with pytest.raises(StaleGeneration):
        stand.hypervisor().ensure_suspended(spec.uuid, 3)


def test_what_is_paused_is_suspended_and_runs_again(stand: Stand) -> None:
    spec = started(stand)
    stand.hypervisor().ensure_paused(spec.uuid, spec.generation)
    wait_until(lambda: stand.hypervisor().ensure_suspended(spec.uuid, spec.generation))
    resume(stand, spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.RUNNING


@pytest.mark.parametrize("verb", ["stop", "start", "absent"])
def test_saved_memory_is_forgotten_by_who_stops_boots_or_removes(stand: Stand, verb: str) -> None:
    spec = suspended(stand)
    VERBS[verb](stand.hypervisor(), spec.uuid, 3)
    assert power_of(stand, spec.uuid) == {"stop": Power.OFF, "start": Power.RUNNING, "absent": None}[verb]
    if verb == "absent":
        stand.hypervisor().ensure_defined(spec)
    else:
        stand.hypervisor().ensure_stopped(spec.uuid, 3)
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_resumed(spec.uuid, 3)
    assert power_of(stand, spec.uuid) == Power.OFF


def test_a_host_that_saved_it_by_itself_or_lost_what_was_saved_says_so(stand: Stand) -> None:
    spec = started(stand)
    stand.hand.suspend(spec.uuid)
    assert power_of(stand, spec.uuid) == Power.SUSPENDED
    stand.hand.lose_memory(spec.uuid)
    assert power_of(stand, spec.uuid) == Power.OFF


@pytest.mark.parametrize("verb", ["pause", "suspend", "resume"])
def test_what_is_off_or_absent_is_neither_paused_nor_suspended_nor_resumed(stand: Stand, verb: str) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    for uuid in (spec.uuid, uuid4()):
        with pytest.raises(HostFault):
            VERBS[verb](stand.hypervisor(), uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.OFF


# -- who may act -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_an_older_generation_may_do_nothing(stand: Stand, verb: str) -> None:
    spec = started(stand, generation=5)
    with pytest.raises(StaleGeneration):
        VERBS[verb](stand.hypervisor(), spec.uuid, 4)
    view = stand.hypervisor().domain(spec.uuid)
    assert (view.power, view.generation) == (Power.RUNNING, 5)


@pytest.mark.parametrize("verb", ["shutdown", "stop", "absent"])
def test_a_newer_generation_may_end_an_older_domain(stand: Stand, verb: str) -> None:
    spec = started(stand, generation=5)
    VERBS[verb](stand.hypervisor(), spec.uuid, 6)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_foreign_domain_is_never_touched(stand: Stand, verb: str) -> None:
    uuid = stand.add_foreign()
    seen = stand.hypervisor().domain(uuid)
    with pytest.raises(HostFault):
        VERBS[verb](stand.hypervisor(), uuid, 99)
    assert not seen.is_ours
    assert stand.hypervisor().domain(uuid) == seen


def test_all_domains_are_listed_ours_and_foreign(stand: Stand) -> None:
    ours, foreign = started(stand, generation=2), stand.add_foreign()
    listed = {view.uuid: view for view in stand.hypervisor().domains()}
    assert listed[ours.uuid] == stand.hypervisor().domain(ours.uuid)
    assert listed[foreign] == stand.hypervisor().domain(foreign)


def test_listing_costs_at_most_one_call_more_for_each_domain_of_ours(stand: Stand) -> None:
    def calls() -> int:
        fence = Recorder()
        stand.hypervisor(fence).domains()
        return len(fence.before_calls)

    empty = calls()
    stand.add_foreign(), stand.add_foreign()
    assert calls() == empty
    for spec in (stand.new_domain(), stand.new_domain()):
        stand.hypervisor().ensure_defined(spec)
    assert empty <= calls() <= empty + 2


# -- the fence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [*sorted(VERBS.keys() - {"size"}), pytest.param("size", marks=pytest.mark.needs("hot add"))])
def test_every_call_passes_the_fence_before_and_after(stand: Stand, verb: str) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    if verb in ("pause", "suspend", "resume", "size"):
        stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    fence = Recorder()
    if verb == "define":
        stand.hypervisor(fence).ensure_defined(spec)
    else:
        VERBS[verb](stand.hypervisor(fence), spec.uuid, spec.generation)
    assert fence.before_calls
    assert fence.before_calls == fence.after_calls


def test_what_the_fence_forbids_does_not_happen(stand: Stand) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    seen = Recorder()
    stand.hypervisor(seen).ensure_started(spec.uuid, spec.generation)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    with pytest.raises(PermissionError):
        stand.hypervisor(Recorder(shut_before=seen.before_calls[-1])).ensure_started(spec.uuid, spec.generation)
    assert power_of(stand, spec.uuid) == Power.OFF


# -- what a host refuses ---------------------------------------------------------------------------------------------


@pytest.mark.needs("memory limit")
def test_a_domain_that_the_host_has_no_memory_for_does_not_start(stand: Stand) -> None:
    spec = stand.new_domain(memory_mib=4_000_000)
    stand.hypervisor().ensure_defined(spec)
    with pytest.raises(HostFault) as refusal:
        stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert "memory" in refusal.value.detail
    assert power_of(stand, spec.uuid) == Power.OFF


@pytest.mark.needs("files")
def test_a_domain_whose_volume_is_missing_does_not_start(stand: Stand) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    stand.pool().ensure_volume_absent(spec.disks[0].file.rpartition("/")[2])
    with pytest.raises(HostFault) as refusal:
        stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert "file" in refusal.value.detail and spec.disks[0].file not in refusal.value.detail


@pytest.mark.needs("image locks")
def test_a_volume_that_runs_elsewhere_is_not_opened_twice(stand: Stand) -> None:
    first = started(stand)
    second = stand.new_domain(devices=(Disk(file=first.disks[0].file, target="vda", backing=NoBacking()),))
    stand.hypervisor().ensure_defined(second)
    with pytest.raises(HostFault) as refusal:
        stand.hypervisor().ensure_started(second.uuid, second.generation)
    assert refusal.value.transient
    assert power_of(stand, second.uuid) == Power.OFF


def test_two_linked_clones_of_one_base_run_side_by_side(stand: Stand) -> None:
    base = stand.pool().ensure_volume(stand.new_name(), size=1024**2)
    for _ in range(2):
        clone = stand.pool().ensure_volume(stand.new_name(), size=1024**2, backing=base.name)
        spec = stand.domain_on(clone.path, backing=base.path)
        stand.hypervisor().ensure_defined(spec)
        stand.hypervisor().ensure_started(spec.uuid, spec.generation)
        assert power_of(stand, spec.uuid) == Power.RUNNING


# -- what it tells ---------------------------------------------------------------------------------------------------


@pytest.mark.needs("screen")
def test_the_screen_of_a_running_domain_has_an_address(stand: Stand) -> None:
    spec = started(stand)
    address = stand.hypervisor().vnc(spec.uuid)
    assert address.host == "127.0.0.1" and address.port >= 5900


def test_a_domain_that_is_off_or_absent_has_no_screen(stand: Stand) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    assert stand.hypervisor().vnc(spec.uuid) is None
    assert stand.hypervisor().vnc(uuid4()) is None


@pytest.mark.needs("cards")
def test_each_card_of_a_running_domain_is_a_device_of_the_host(stand: Stand) -> None:
    ports = {uuid4(), uuid4()}
    cards = [Interface(mac=f"0a:4d:00:00:00:{number:02x}", interface_id=port) for number, port in enumerate(ports)]
    spec = stand.new_domain()
    spec = replace(spec, devices=(*spec.devices, *cards))
    stand.hypervisor().ensure_defined(spec)
    assert stand.hypervisor().taps(spec.uuid) == {}
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    taps = stand.hypervisor().taps(spec.uuid)
    assert taps.keys() == ports and len(set(taps.values())) == 2
    assert all(0 < len(tap) <= 15 for tap in taps.values())
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert stand.hypervisor().taps(spec.uuid) == {}


def test_a_domain_that_is_absent_or_has_no_card_has_no_device(stand: Stand) -> None:
    assert stand.hypervisor().taps(uuid4()) == {}
    assert stand.hypervisor().taps(started(stand).uuid) == {}


def test_the_inventory_tells_what_the_host_has(stand: Stand) -> None:
    inventory = stand.hypervisor().inventory()
    assert inventory.hostname and inventory.hypervisor and inventory.driver_version
    assert inventory.vcpus > 0 and inventory.memory_mib >= 1024 and inventory.architecture == "x86_64"
