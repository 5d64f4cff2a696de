"""Every operation kind, killed before and after every outside call on the simulated driver."""
from decimal import Decimal

import pytest

from billing.models import UsageInterval
from billing.seed import seed_prices
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim
from compute.hosts.operations import prepare_host
from compute.instances.models import Instance, InstanceType, Snapshot
from compute.instances.operations import act, create_instance
from compute.instances.snapshots.verbs import delete_snapshot
from compute.instances.volumes import verbs as volumes
from compute.instances.volumes.verbs import NewVolume
from portal.kernel.models import Operation
from storage import copying
from storage.connections import volume_pool
from storage.models import Attachment, Image, ImageCopy, Volume
from storage.operations import retire_image
from tests.crash.harness import Tally, census, every_point, one_audit_row
from tests.soak import SEED, SOAKING, STRIDE
from tests.world import World, drain

# One call to the host, and nothing else.
LEAST = dict.fromkeys(("pause", "suspend", "delete", "restore"), 20)
# All points in `make soak`; in `make test` every twentieth, beginning at one that the seed chooses.
FIRST = 1 + SEED % STRIDE


def wishes(verb: str, instance: Instance) -> dict[str, Image | str]:
    """What the form of the verb asks for."""
    if verb == "capture":
        return {"name": "ready"}
    return {"image": instance.image} if verb in ("rescue", "rebuild") else {}


# A guest that has not booted yet hears no power button.
FORCED = ("stop", "rescue", "unrescue")
# A settled state → the verbs that lead there from any other one of these.
WAYS = {"running": {"stopped": "start", "paused": "resume", "suspended": "resume", "rescued": "unrescue"},
        "stopped": {"running": "stop", "paused": "stop", "suspended": "resume", "recycled": "restore", "rescued": "stop"},
        "paused": {"running": "pause", "stopped": "start", "suspended": "resume", "rescued": "unrescue"},
        "suspended": {"running": "suspend", "stopped": "start", "paused": "resume", "rescued": "unrescue"},
        "rescued": {"running": "rescue", "stopped": "rescue", "paused": "resume", "suspended": "resume"},
        "recycled": dict.fromkeys(("running", "stopped", "paused", "suspended", "rescued"), "delete")}


def the_instance(world: World, state: str) -> Instance:
    """A settled instance in that state: the one of the point before, where there is one."""
    instance = Instance.objects.filter(state__in=WAYS).first()
    if instance is None:
        operation = create_instance(world.order(), actor=world.people["alice"])
        drain()
        instance = Instance.objects.get(pk=operation.target_id)
    for _way in range(4):
        if instance.state == state:
            return instance
        verb = WAYS[state].get(instance.state, "restore")
        act(instance, verb, actor=world.people["alice"], force=verb in FORCED, **wishes(verb, instance))
        drain()
        instance.refresh_from_db()
    raise AssertionError(f"{instance.state}, not {state}: {instance.fault}")


def remove(world: World) -> None:
    """Back to an empty world, so that the next point starts alike."""
    for instance in Instance.objects.exclude(state="deleted"):
        act(instance, "purge", actor=world.people["alice"])
    drain()


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "begins", "ends"), [
    ("start", "stopped", "running"), ("stop", "running", "stopped"), ("reboot", "running", "running"),
    ("pause", "running", "paused"), ("suspend", "running", "suspended"), ("resume", "paused", "running"),
    ("resume", "suspended", "running"), ("stop", "paused", "stopped"), ("rescue", "running", "rescued"),
    ("unrescue", "rescued", "running"), ("stop", "rescued", "stopped"), ("rebuild", "stopped", "running"),
    ("delete", "running", "recycled"),
    ("delete", "suspended", "recycled"), ("restore", "recycled", "stopped"), ("purge", "running", "deleted"),
    ("purge", "suspended", "deleted"), ("purge", "recycled", "deleted"), ("purge", "rescued", "deleted")])
def test_a_verb_killed_anywhere_settles_and_leaves_nothing(world: World, verb: str, begins: str, ends: str) -> None:
    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        assert Instance.objects.get(pk=operation.target_id).state == ends
        census(world)
        one_audit_row(operation)

    def begin() -> Operation:
        instance = the_instance(world, begins)
        return act(instance, verb, actor=world.people["alice"], **wishes(verb, instance))

    tally = every_point(begin, check, first=FIRST, stride=STRIDE)
    told(verb, tally, LEAST.get(verb, 90))


@pytest.mark.slow
@pytest.mark.parametrize("is_refused", [False, True])
def test_an_image_of_an_instance_killed_anywhere_is_there_or_leaves_nothing(
        world: World, monkeypatch: pytest.MonkeyPatch, is_refused: bool) -> None:
    """In several portions; and where the host gives nothing out in the end, every undo runs, and is killed anywhere in there."""
    monkeypatch.setattr(copying, "PORTION", 100_000)
    hand = SimulatedHost(world.host.endpoint.uri)

    def begin() -> Operation:
        hand.heal()
        instance = the_instance(world, "stopped")
        if is_refused:
            hand.fail("ensure_downloaded", kind="error", times=1000)
        return act(instance, "capture", actor=world.people["alice"], **wishes("capture", instance))

    def check(operation: Operation) -> None:
        assert operation.state == ("failed" if is_refused else "succeeded"), operation.error
        image = Image.objects.get(pk=operation.arguments["image"])
        files = {file.name for file in copying.store().iterdir()} - {world.image.files["disk"]["file"]}
        with volume_pool(world.pool) as pool:
            copies = {file.name for file in pool.volumes() if str(image.pk) in file.name}
        if is_refused:
            assert (image.state, files, copies) == ("deleted", set(), set())
        else:
            assert (image.state, files) == ("active", {image.files["disk"]["file"]})
            assert copies == {f"image-{image.pk}-disk"} == {
                path.rpartition("/")[2] for path in ImageCopy.objects.get(image=image).locators.values()}
            assert UsageInterval.objects.get(resource=image, period__endswith=None).meter == "image"
            (copying.store() / image.files["disk"]["file"]).unlink()
            retire_image(image, actor=world.people["root"])
        census(world)
        one_audit_row(operation)

    tally = every_point(begin, check, first=FIRST, stride=STRIDE)
    told(f"capture{', undone' if is_refused else ''}", tally, 40)


@pytest.mark.slow
@pytest.mark.parametrize("is_refused", [False, True])
def test_a_clone_killed_anywhere_is_there_or_leaves_nothing(world: World, is_refused: bool) -> None:
    alice, hand = world.people["alice"], SimulatedHost(world.host.endpoint.uri)

    def begin() -> Operation:
        hand.heal()
        instance = the_instance(world, "stopped")
        if is_refused:
            hand.fail("ensure_started", kind="error", times=1000)
        return act(instance, "clone", actor=alice)

    def check(operation: Operation) -> None:
        assert operation.state == ("failed" if is_refused else "succeeded"), operation.error
        clone = Instance.objects.get(pk=operation.arguments["instances"][0])
        assert clone.state == ("error" if is_refused else "running")
        assert Instance.objects.get(pk=operation.target_id).state == "stopped"
        census(world)
        one_audit_row(operation)
        hand.heal()
        act(clone, "purge", actor=alice)
        drain()
        census(world)

    told(f"clone{', undone' if is_refused else ''}", every_point(begin, check, first=FIRST, stride=STRIDE), 90)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["taken", "taken with memory", "taken off", "not taken", "reverted", "woken", "deleted"])
def test_a_snapshot_killed_anywhere_is_there_or_leaves_nothing(world: World, what: str) -> None:
    """The volume's file and the rows say the same."""
    alice, hand = world.people["alice"], SimulatedHost(world.host.endpoint.uri)

    def begin() -> Operation:
        hand.heal()
        for row in Snapshot.objects.live():
            delete_snapshot(row, actor=alice)
            drain()
        instance = the_instance(world, "stopped" if what == "taken off" else "running")
        if what in ("reverted", "woken", "deleted"):
            act(instance, "snapshot", actor=alice, name="before", memory=what == "woken")
            drain()
            instance = the_instance(world, "stopped" if what == "woken" else "running")
        if what == "deleted":
            return delete_snapshot(Snapshot.objects.live().get(), actor=alice)
        if what in ("reverted", "woken"):
            return act(instance, "revert", actor=alice, snapshot=Snapshot.objects.live().get())
        if what == "not taken":
            hand.fail("shape", kind="error", times=1000)
        return act(instance, "snapshot", actor=alice, name="it", memory=what in ("taken with memory", "not taken"))

    def check(operation: Operation) -> None:
        assert operation.state == ("failed" if what == "not taken" else "succeeded"), operation.error
        there = {str(row.pk) for row in Snapshot.objects.live()}
        assert len(there) == (what not in ("not taken", "deleted")) == UsageInterval.objects.filter(
            meter="snapshot", period__endswith=None).count()
        volume = Volume.objects.get(attachment__domain=Instance.objects.get(state__in=WAYS).pk)
        folder, _, name = volume.locator.rpartition("/")
        assert hand._store.read()["pools"][folder]["volumes"][name].get("snapshots", {}).keys() == there
        assert Instance.objects.get(state__in=WAYS).state == ("stopped" if what == "taken off" else "running")
        census(world)
        one_audit_row(operation)

    told(f"snapshot {what}", every_point(begin, check, first=FIRST, stride=STRIDE), 20)


@pytest.mark.slow
def test_a_create_killed_anywhere_settles_and_leaves_nothing(world: World) -> None:
    def begin() -> Operation:
        ImageCopy.objects.filter(image=world.image).delete()  # so that bringing the image is interrupted too
        return create_instance(world.order(), actor=world.people["alice"])

    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        assert Instance.objects.get(pk=operation.target_id).state == "running"
        census(world)
        one_audit_row(operation)
        remove(world)
        census(world)

    told("create", every_point(begin, check, first=FIRST, stride=STRIDE), 150)


@pytest.mark.slow
def test_a_create_that_fails_and_is_killed_while_undoing_leaves_nothing(world: World) -> None:
    """The host refuses to boot, so that every undo runs, and is killed anywhere in there."""
    def begin() -> Operation:
        host = SimulatedHost(world.host.endpoint.uri)
        host.heal()
        host.fail("ensure_started", kind="error", times=1000)
        return create_instance(world.order(), actor=world.people["alice"])

    def check(operation: Operation) -> None:
        assert operation.state == "failed" and operation.error["code"] == "host_fault"
        assert Instance.objects.get(pk=operation.target_id).state == "error"
        census(world)
        one_audit_row(operation)
        SimulatedHost(world.host.endpoint.uri).heal()
        remove(world)

    told("create, undone", every_point(begin, check, first=FIRST, stride=STRIDE), 200)


@pytest.mark.slow
def test_preparing_a_host_killed_anywhere_makes_it_ready(world: World) -> None:
    def begin() -> Operation:
        ImageCopy.objects.all().delete()
        return prepare_host(world.host, actor=world.people["root"])

    def check(operation: Operation) -> None:
        world.host.refresh_from_db()
        assert (operation.state, world.host.state) == ("succeeded", "ready")
        assert ImageCopy.objects.get().is_complete
        census(world)

    told("host.prepare", every_point(begin, check, first=FIRST, stride=STRIDE), 60)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["live", "restart", "off", "undone"])
def test_a_resize_killed_anywhere_is_done_or_never_happened(world: World, way: str) -> None:
    """Books and host say the same size: the new one, or where the host refuses the old one."""
    alice, hand = world.people["alice"], SimulatedHost(world.host.endpoint.uri)
    medium = InstanceType.objects.create(slug="medium", name="Medium", vcpus=2, memory_mib=512)
    seed_prices(world.region, [(f"instance.{state}", "medium", Decimal(1)) for state in ("running", "stopped")])
    first, then = (medium, world.type) if way == "restart" else (world.type, medium)

    def begin() -> Operation:
        hand.heal()
        instance = the_instance(world, "stopped" if way == "off" else "running")
        if instance.type != first:
            act(instance, "resize", actor=alice, type=first, allow_restart=True)
            drain()
            instance.refresh_from_db()
        if way == "undone":
            hand.fail("ensure_size", kind="error")
        return act(instance, "resize", actor=alice, type=then, allow_restart=True)

    def check(operation: Operation) -> None:
        assert operation.state == "succeeded" or (way == "undone" and operation.error["code"] == "host_fault"), operation.error
        size, instance = then if operation.state == "succeeded" else first, Instance.objects.get(pk=operation.target_id)
        assert (instance.type, instance.vcpus, instance.memory_mib) == (size, size.vcpus, size.memory_mib)
        assert set(Claim.objects.values_list("amount", flat=True)) == {size.vcpus, size.memory_mib}
        assert UsageInterval.objects.get(resource=instance, period__endswith=None).sku == size.slug
        if instance.state == "running":
            assert hand.size(instance.pk) == (size.vcpus, size.memory_mib)
        census(world)
        one_audit_row(operation)

    stride = STRIDE if SOAKING else 3 * STRIDE
    tally = every_point(begin, check, first=1 + SEED % stride, stride=stride)
    print(f"\nresize, {way}: killed at {tally.points} points (every {stride}), all settled, nothing left")
    assert (tally.points + 1) * stride > 40


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "is_refused"), [("create", False), ("create", True), ("attach", False), ("attach", True),
                                                  ("detach", False), ("detach", True), ("grow", False), ("delete", False)])
def test_a_volume_verb_killed_anywhere_is_done_or_never_happened(world: World, verb: str, is_refused: bool) -> None:
    """Of a running instance. Where the host refuses, the undo is killed anywhere too."""
    alice, hand = world.people["alice"], SimulatedHost(world.host.endpoint.uri)

    def settled(operation: Operation) -> Volume:
        drain()
        return Volume.objects.get(pk=operation.target_id)

    def begin() -> Operation:
        hand.heal()
        instance = the_instance(world, "running")
        new = NewVolume(project=world.project, region=world.region, name="data", size_gib=1,
                        instance=None if verb in ("attach", "delete") else instance)
        if verb != "create":
            volume = settled(volumes.create_volume(new, actor=alice))
        if is_refused:
            hand.fail("ensure_defined" if verb == "detach" else "ensure_plugged", kind="error")
        if verb == "create":
            return volumes.create_volume(new, actor=alice)
        if verb == "attach":
            return volumes.attach(volume, instance, actor=alice)
        if verb == "detach":
            return volumes.detach(volume, actor=alice)
        if verb == "grow":
            return volumes.grow(volume, 2, actor=alice)
        return volumes.delete_volume(volume, actor=alice)

    def check(operation: Operation) -> None:
        is_done = operation.state == "succeeded"
        assert is_done or (is_refused and operation.error["code"] == "host_fault"), operation.error
        volume, instance = Volume.objects.get(pk=operation.target_id), Instance.objects.get(state="running")
        ends = {"create": ("deleted", "in_use"), "attach": ("available", "in_use"), "detach": ("in_use", "available"),
                "grow": ("", "in_use"), "delete": ("", "deleted")}[verb]
        assert volume.state == ends[is_done] and volume.size_gib == (2 if verb == "grow" else 1)
        assert (f"/pool/volume-{volume.pk}.qcow2" in hand.disks(instance.pk)) == (volume.state == "in_use")
        assert Attachment.objects.filter(volume=volume).exists() == (volume.state == "in_use")
        one_audit_row(operation)
        hand.heal()
        if volume.state == "in_use":
            settled(volumes.detach(volume, actor=alice))
        if Volume.objects.live().filter(pk=volume.pk).exists():
            settled(volumes.delete_volume(Volume.objects.get(pk=volume.pk), actor=alice))
        census(world)

    told(f"volume.{verb}{', undone' if is_refused else ''}", every_point(begin, check, first=FIRST, stride=STRIDE), 20)


def told(what: str, tally: Tally, at_least: int) -> None:
    """The harness itself must have seen the whole operation."""
    print(f"\n{what}: killed at {tally.points} points (every {STRIDE}), all settled, nothing left")
    assert tally.points and (tally.points + 1) * STRIDE > at_least
