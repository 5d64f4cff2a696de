"""The pool contract, told once and run on every backend."""
import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from compute.hosts.drivers.libvirt.faults import PoolBusy
from portal.kernel.errors import HostFault
from storage.pools.libvirt import LibvirtDirPool

from .stands import Stand
from .test_hypervisor_contract import Recorder

MIB = 1024**2
FileMaker = Callable[..., Path]


@pytest.fixture
def file_of(tmp_path: Path) -> FileMaker:
    """Makes a local file with telling content."""
    def make(size: int, seed: bytes = b"mains") -> Path:
        path = tmp_path / f"upload-{size}-{seed.hex()}"
        path.write_bytes((seed * (size // len(seed) + 1))[:size])
        return path
    return make


def qcow2_facts(path: Path) -> dict:
    command = ["qemu-img", "info", "-U", "--output=json", "-f", "qcow2", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_a_pool_made_twice_is_one_pool_with_room(stand: Stand) -> None:
    stand.pool().ensure_pool()
    facts = stand.pool().facts()
    assert facts.capacity > 0 and facts.available <= facts.capacity


def test_a_pool_that_nobody_made_is_a_fault(stand: Stand) -> None:
    with pytest.raises(HostFault):
        replace(stand, pool_name="never", pool_path="/srv/never").pool().volumes()


def test_a_volume_has_its_size_and_lies_in_the_pool(stand: Stand) -> None:
    name = stand.new_name()
    made = stand.pool().ensure_volume(name, size=8 * MIB)
    assert (made.name, made.path, made.capacity) == (name, f"{stand.pool_path}/{name}", 8 * MIB)
    assert (made.format, made.backing) == ("qcow2", None)
    assert stand.pool().volume(name) == made
    assert stand.pool().volumes() == [made]


def test_making_a_volume_twice_is_making_it_once(stand: Stand) -> None:
    name = stand.new_name()
    first = stand.pool().ensure_volume(name, size=8 * MIB)
    assert stand.pool().ensure_volume(name, size=8 * MIB) == first


def test_a_volume_of_that_name_and_another_size_is_refused(stand: Stand) -> None:
    name = stand.new_name()
    stand.pool().ensure_volume(name, size=8 * MIB)
    with pytest.raises(HostFault):
        stand.pool().ensure_volume(name, size=9 * MIB)
    assert stand.pool().volume(name).capacity == 8 * MIB


def test_an_unknown_volume_is_none(stand: Stand) -> None:
    assert stand.pool().volume("nothing") is None


def test_a_linked_clone_names_its_base_and_may_be_larger(stand: Stand) -> None:
    base, name = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB), stand.new_name()
    made = stand.pool().ensure_volume(name, size=16 * MIB, backing=base.name)
    assert (made.backing, made.capacity) == (base.name, 16 * MIB)
    assert stand.pool().ensure_volume(name, size=16 * MIB, backing=base.name) == made


def test_a_clone_with_another_base_is_a_different_volume(stand: Stand) -> None:
    pool, name = stand.pool(), stand.new_name()
    one, other = (pool.ensure_volume(stand.new_name(), size=8 * MIB) for _ in range(2))
    pool.ensure_volume(name, size=8 * MIB, backing=one.name)
    with pytest.raises(HostFault):
        pool.ensure_volume(name, size=8 * MIB, backing=other.name)
    with pytest.raises(HostFault):
        pool.ensure_volume(name, size=8 * MIB)


def test_a_clone_smaller_than_its_base_is_refused(stand: Stand) -> None:
    base, name = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB), stand.new_name()
    with pytest.raises(HostFault):
        stand.pool().ensure_volume(name, size=4 * MIB, backing=base.name)
    assert stand.pool().volume(name) is None


def test_a_clone_of_nothing_is_refused(stand: Stand) -> None:
    with pytest.raises(HostFault):
        stand.pool().ensure_volume(stand.new_name(), size=8 * MIB, backing="nothing")


@pytest.mark.parametrize("backing", ["/etc/passwd", "../outside", "sub/inside"])
def test_a_base_outside_the_pool_is_refused(stand: Stand, backing: str) -> None:
    with pytest.raises(HostFault):
        stand.pool().ensure_volume(stand.new_name(), size=8 * MIB, backing=backing)


@pytest.mark.needs("image sizes")
def test_a_base_that_is_not_a_qcow2_is_refused(stand: Stand, file_of: FileMaker) -> None:
    name = stand.new_name()
    stand.pool().ensure_uploaded(name, str(file_of(MIB)), format="raw")
    with pytest.raises(HostFault):
        stand.pool().ensure_volume(stand.new_name(), size=8 * MIB, backing=name)


def test_a_base_stays_while_a_clone_stands_on_it(stand: Stand) -> None:
    pool = stand.pool()
    base = pool.ensure_volume(stand.new_name(), size=8 * MIB)
    clone = pool.ensure_volume(stand.new_name(), size=8 * MIB, backing=base.name)
    with pytest.raises(HostFault):
        pool.ensure_volume_absent(base.name)
    assert pool.volume(base.name) == base
    pool.ensure_volume_absent(clone.name)
    pool.ensure_volume_absent(base.name)
    assert pool.volumes() == []


def test_a_volume_is_gone_once_removed_and_removing_again_is_success(stand: Stand) -> None:
    name = stand.new_name()
    stand.pool().ensure_volume(name, size=8 * MIB)
    stand.pool().ensure_volume_absent(name)
    stand.pool().ensure_volume_absent(name)
    assert stand.pool().volume(name) is None


@pytest.mark.needs("resize")
def test_a_volume_grows_and_growing_again_is_success(stand: Stand) -> None:
    name = stand.new_name()
    stand.pool().ensure_volume(name, size=8 * MIB)
    stand.pool().ensure_resized(name, size=12 * MIB)
    stand.pool().ensure_resized(name, size=12 * MIB)
    assert stand.pool().volume(name).capacity == 12 * MIB


def test_a_volume_never_shrinks(stand: Stand) -> None:
    name = stand.new_name()
    stand.pool().ensure_volume(name, size=8 * MIB)
    with pytest.raises(HostFault):
        stand.pool().ensure_resized(name, size=8 * MIB - 512)
    assert stand.pool().volume(name).capacity == 8 * MIB


def test_what_does_not_exist_does_not_grow(stand: Stand) -> None:
    with pytest.raises(HostFault):
        stand.pool().ensure_resized("nothing", size=8 * MIB)


# -- uploads ---------------------------------------------------------------------------------------------------------


@pytest.mark.needs("upload")
def test_a_file_arrives_in_parts_and_each_tells_where_to_go_on(stand: Stand, file_of: FileMaker) -> None:
    name, source = stand.new_name(), file_of(2 * MIB + 77)
    offset, reached = 0, []
    while not reached or offset < 2 * MIB + 77:
        offset = stand.pool().ensure_uploaded(name, str(source), format="raw", offset=offset, limit=MIB)
        reached.append(offset)
    assert reached == [MIB, 2 * MIB, 2 * MIB + 77]
    assert stand.pool().volume(name).capacity == 2 * MIB + 77


@pytest.mark.needs("upload", "uploaded bytes")
def test_what_arrives_is_what_was_sent_even_when_a_part_is_sent_twice(stand: Stand, file_of: FileMaker) -> None:
    name, source = stand.new_name(), file_of(2 * MIB + 77, b"\x00twice")
    for offset in (0, MIB, MIB, 2 * MIB):
        stand.pool().ensure_uploaded(name, str(source), format="raw", offset=offset, limit=MIB)
    assert (stand.files / name).read_bytes() == source.read_bytes()


@pytest.mark.needs("upload", "uploaded bytes")
def test_a_part_ends_when_its_time_is_over_and_always_gets_on(stand: Stand, file_of: FileMaker) -> None:
    name, source = stand.new_name(), file_of(2 * MIB + 77, b"\x00slow")
    offset, reached = 0, []
    while offset < 2 * MIB + 77:
        offset = stand.pool().ensure_uploaded(name, str(source), format="raw", offset=offset, limit=2 * MIB, seconds=0)
        assert offset > (reached[-1] if reached else 0)
        reached.append(offset)
    assert len(reached) > 2 and (stand.files / name).read_bytes() == source.read_bytes()


@pytest.mark.needs("upload")
def test_an_upload_from_the_beginning_replaces_an_unfinished_one(stand: Stand, file_of: FileMaker) -> None:
    name = stand.new_name()
    stand.pool().ensure_uploaded(name, str(file_of(2 * MIB)), format="raw", limit=MIB)
    smaller = file_of(MIB // 2, b"fresh")
    assert stand.pool().ensure_uploaded(name, str(smaller), format="raw") == MIB // 2
    assert stand.pool().volume(name).capacity == MIB // 2


@pytest.mark.needs("upload")
def test_an_uploaded_qcow2_shows_the_size_that_a_guest_sees_and_serves_as_base(stand: Stand, tmp_path: Path) -> None:
    image, name = tmp_path / "image.qcow2", stand.new_name()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "64M"], check=True)
    stand.pool().ensure_uploaded(name, str(image), format="qcow2")
    found = stand.pool().volume(name)
    assert (found.format, found.capacity) == ("qcow2", 64 * MIB)
    assert stand.pool().ensure_volume(stand.new_name(), size=64 * MIB, backing=name).backing == name


def test_a_file_that_is_not_there_is_a_fault(stand: Stand, tmp_path: Path) -> None:
    with pytest.raises(HostFault):
        stand.pool().ensure_uploaded(stand.new_name(), str(tmp_path / "none"), format="raw")


def test_a_base_in_use_is_not_replaced_by_an_upload(stand: Stand, file_of: FileMaker) -> None:
    base = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB)
    stand.pool().ensure_volume(stand.new_name(), size=8 * MIB, backing=base.name)
    with pytest.raises(HostFault):
        stand.pool().ensure_uploaded(base.name, str(file_of(MIB)), format="raw")
    assert stand.pool().volume(base.name) == base


# -- the world -------------------------------------------------------------------------------------------------------


@pytest.mark.needs("inactive pools")
def test_a_pool_that_the_host_let_go_of_is_taken_up_again(stand: Stand) -> None:
    made = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB)
    stand.hand.let_go_of_pool(stand.pool_name)
    assert stand.pool().volume(made.name) == made


@pytest.mark.needs("files behind")
def test_files_that_came_and_went_behind_the_hosts_back_are_seen(stand: Stand) -> None:
    made = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB)
    stand.pool().volumes()
    (stand.files / "stray").write_bytes(b"x" * 4096)
    (stand.files / made.name).unlink()
    assert [volume.name for volume in stand.pool().volumes()] == ["stray"]
    assert stand.pool().volume(made.name) is None


@pytest.mark.needs("upload", "files behind")
def test_a_file_that_lies_in_the_way_unknown_to_the_host_is_replaced_by_an_upload(
        stand: Stand, file_of: FileMaker) -> None:
    name = stand.new_name()
    stand.pool().volumes()
    (stand.files / name).write_bytes(b"in the way")
    stand.pool().ensure_uploaded(name, str(file_of(MIB)), format="raw")
    assert stand.pool().volume(name).capacity == MIB


@pytest.mark.needs("files behind")
def test_a_file_that_lies_in_the_way_unknown_to_the_host_is_no_volume_of_ours(stand: Stand) -> None:
    name = stand.new_name()
    stand.pool().volumes()
    (stand.files / name).write_bytes(b"in the way")
    with pytest.raises(HostFault):
        stand.pool().ensure_volume(name, size=8 * MIB)
    assert (stand.files / name).read_bytes() == b"in the way"


@pytest.mark.needs("file formats")
def test_volumes_can_hold_bitmaps_and_their_chain_names_its_formats(stand: Stand) -> None:
    base = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB)
    clone = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB, backing=base.name)
    written = qcow2_facts(Path(clone.path))
    assert written["format-specific"]["data"]["compat"] == "1.1"
    assert (written["backing-filename"], written["backing-filename-format"]) == (base.path, "qcow2")


def test_every_pool_call_passes_the_fence_before_and_after(stand: Stand) -> None:
    fence = Recorder()
    name = stand.new_name()
    stand.pool(fence).ensure_volume(name, size=8 * MIB)
    stand.pool(fence).ensure_volume_absent(name)
    assert len(fence.before_calls) >= 2
    assert set(fence.after_calls) <= set(fence.before_calls)


def test_what_the_fence_forbids_does_not_happen_in_the_pool(stand: Stand) -> None:
    name, seen = stand.new_name(), Recorder()
    stand.pool(seen).ensure_volume(name, size=8 * MIB)
    stand.pool().ensure_volume_absent(name)
    creating = "volume.create" if "volume.create" in seen.before_calls else "ensure_volume"
    with pytest.raises(PermissionError):
        stand.pool(Recorder(shut_before=creating)).ensure_volume(name, size=8 * MIB)
    assert stand.pool().volume(name) is None


def test_many_actors_share_a_pool_and_none_stumbles_over_another(stand: Stand) -> None:
    base = stand.pool().ensure_volume(stand.new_name(), size=MIB)

    def come_and_go() -> int:
        for _ in range(12):
            name = stand.new_name()
            stand.pool().ensure_volume(name, size=MIB, backing=base.name)
            assert name in {volume.name for volume in stand.pool().volumes()}
            assert stand.pool().volume(name).backing == base.name
            assert stand.pool().facts().capacity > 0
            stand.pool().ensure_volume_absent(name)
        return 12
    with ThreadPoolExecutor(4) as actors:
        assert [actor.result() for actor in [actors.submit(come_and_go) for _ in range(4)]] == [12] * 4
    assert stand.pool().volumes() == [base]


@pytest.mark.needs("upload")
def test_volumes_come_and_go_while_a_file_is_being_sent(stand: Stand, file_of: FileMaker) -> None:
    big, source = stand.new_name(), str(file_of(24 * MIB))
    with ThreadPoolExecutor(1) as sender:
        sent = sender.submit(lambda: [stand.pool().ensure_uploaded(big, source, format="raw") for _ in range(6)])
        while not sent.done():
            name = stand.new_name()
            stand.pool().ensure_volume(name, size=8 * MIB)
            stand.pool().ensure_volume_absent(name)
        assert sent.result() == [24 * MIB] * 6
    assert [volume.name for volume in stand.pool().volumes()] == [big]


# -- copies ----------------------------------------------------------------------------------------------------------


def unasked() -> None:
    """Whoever waits for a copy still wants it."""


def test_a_copy_has_the_size_of_its_source_and_no_base(stand: Stand) -> None:
    pool, name = stand.pool(), stand.new_name()
    base = pool.ensure_volume(stand.new_name(), size=8 * MIB)
    source = pool.ensure_volume(stand.new_name(), size=16 * MIB, backing=base.name)
    for _again in range(2):
        made = pool.copy_volume(name, source.name, still=unasked)
        assert (made.name, made.capacity, made.format, made.backing) == (name, 16 * MIB, "qcow2", None)
    pool.ensure_volume_absent(source.name)
    assert pool.volume(name) == made


def test_nothing_cannot_be_copied(stand: Stand) -> None:
    name = stand.new_name()
    with pytest.raises(HostFault):
        stand.pool().copy_volume(name, "nothing", still=unasked)
    assert stand.pool().volume(name) is None


def test_what_clones_stand_on_is_not_replaced_by_a_copy(stand: Stand) -> None:
    pool = stand.pool()
    base, source = (pool.ensure_volume(stand.new_name(), size=8 * MIB) for _ in range(2))
    pool.ensure_volume(stand.new_name(), size=8 * MIB, backing=base.name)
    with pytest.raises(HostFault):
        pool.copy_volume(base.name, source.name, still=unasked)


@pytest.mark.needs("upload", "uploaded bytes")
def test_a_copy_reads_as_its_source_and_its_base_did(stand: Stand, tmp_path: Path) -> None:
    """The base's bytes come with it, and it stays when both are gone."""
    raw, qcow = tmp_path / "raw", tmp_path / "qcow2"
    raw.write_bytes(b"from the base".ljust(2 * MIB, b"\x07"))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow)], check=True)
    pool, name = stand.pool(), stand.new_name()
    base = stand.new_name()
    pool.ensure_uploaded(base, str(qcow), format="qcow2")
    source = pool.ensure_volume(stand.new_name(), size=4 * MIB, backing=base)
    pool.copy_volume(name, source.name, still=unasked)
    pool.ensure_volume_absent(source.name)
    pool.ensure_volume_absent(base)
    flat, offset = tmp_path / "flat", 0
    while not (portion := pool.ensure_downloaded(name, str(flat), offset=offset, limit=MIB)).is_last:
        offset = portion.reached
    assert "backing-filename" not in qcow2_facts(flat)
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(flat), str(tmp_path / "back")], check=True)
    assert (tmp_path / "back").read_bytes() == raw.read_bytes() + bytes(2 * MIB)


@pytest.mark.needs("upload")
def test_a_file_comes_back_in_parts_and_each_tells_where_to_go_on(stand: Stand, tmp_path: Path) -> None:
    made, target = stand.pool().ensure_volume(stand.new_name(), size=8 * MIB), tmp_path / "back"
    total = stand.pool().ensure_downloaded(made.name, str(target)).total
    whole = target.read_bytes()
    assert len(whole) == total and whole[:4] == b"QFI\xfb"
    step = total // 3
    for offset in (0, step, step, 2 * step):  # one of them twice
        portion = stand.pool().ensure_downloaded(made.name, str(target), offset=offset, limit=step)
        assert (portion.reached, portion.total) == (offset + step, total)
    if not portion.is_last:
        assert stand.pool().ensure_downloaded(made.name, str(target), offset=3 * step).is_last
    assert target.read_bytes() == whole


@pytest.mark.needs("upload", "uploaded bytes")
def test_what_is_read_ends_when_its_time_is_over_and_tells_how_far_it_came(
        stand: Stand, file_of: FileMaker, tmp_path: Path) -> None:
    name, source, target = stand.new_name(), file_of(2 * MIB + 77, b"\x00slow"), tmp_path / "back"
    stand.pool().ensure_uploaded(name, str(source), format="raw")
    offset, reached = 0, []
    while offset < 2 * MIB + 77:
        offset = stand.pool().ensure_downloaded(name, str(target), offset=offset, limit=2 * MIB, seconds=0).reached
        assert offset > (reached[-1] if reached else 0) and target.stat().st_size == offset
        reached.append(offset)
    assert len(reached) > 2 and target.read_bytes() == source.read_bytes()


@pytest.mark.needs("upload")
def test_while_the_folder_is_not_looked_at_a_new_image_serves_as_base_and_what_is_absent_is_so(
        stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy within the pool goes on for hours."""
    def refused(*_arguments: object) -> None:
        raise PoolBusy

    monkeypatch.setattr(LibvirtDirPool, "_refresh", refused)
    image, name, clone = tmp_path / "image.qcow2", stand.new_name(), stand.new_name()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "64M"], check=True)
    stand.pool().ensure_uploaded(name, str(image), format="qcow2")
    assert stand.pool().ensure_volume(clone, size=64 * MIB, backing=name).backing == name
    for file in (stand.new_name(), clone, name, name):
        stand.pool().ensure_volume_absent(file)
    assert not stand.pool().volumes()


def test_what_is_not_there_is_not_downloaded(stand: Stand, tmp_path: Path) -> None:
    with pytest.raises(HostFault):
        stand.pool().ensure_downloaded("nothing", str(tmp_path / "back"))
