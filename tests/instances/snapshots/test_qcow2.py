"""Random steps on real volumes, against a model of their bytes: what is written, kept, gone back to, dropped, grown and copied by
the very commands that are run on hosts. A seeded slice in `make test`, thousands of steps in `make soak`.
"""
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from compute.hosts.commands import catalogue
from compute.hosts.commands.contract import Command
from tests.soak import SEED, SOAKING

MIB, BLOCK = 1024**2, 64 * 1024
STEPS = 10_000 if SOAKING else 120
MOST = 6
BLOCKS = 24


def run(command: Command, **values: object) -> Any:
    """As on a host, but here: the same words, the same parser."""
    done = subprocess.run(command.filled(**values), check=True, capture_output=True, text=True)
    return command.parse(done.stdout)


@dataclass
class Model:
    """A volume on a base: what each of its blocks should read as, and how large it is (MiB); and so for each snapshot."""

    path: str
    size: int
    blocks: list[int]
    kept: dict[UUID, tuple[int, list[int]]] = field(default_factory=dict)

    def names(self) -> set[str]:
        return {str(name) for name in self.kept}

    def check(self, dice: random.Random) -> None:
        told = run(catalogue.KEPT_SNAPSHOTS, path=self.path)
        assert (told.size, told.names) == (self.size * MIB, self.names())
        verify(self.path, self.blocks, dice)


def verify(path: str, blocks: list[int], dice: random.Random) -> None:
    """A few blocks of it, and the first."""
    chosen = {0, *dice.sample(range(BLOCKS), 4)}
    words = [word for block in sorted(chosen) for word in ("-c", f"read -P {blocks[block]} {block * BLOCK} {BLOCK}")]
    done = subprocess.run(["qemu-io", "-f", "qcow2", *words, path], capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout, [blocks[block] for block in sorted(chosen)])


def write(path: str, block: int, pattern: int) -> None:
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {block * BLOCK} {BLOCK}", path], check=True,
                   capture_output=True)


def made(folder: Path) -> Model:
    base, path = folder / "base", folder / "volume,1=a.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=1.1", str(base), "2M"], check=True)
    write(str(base), 0, 7)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=1.1", "-F", "qcow2", "-b", str(base), str(path),
                    "2M"], check=True)
    return Model(path=str(path), size=2, blocks=[7] + [0] * (BLOCKS - 1))


def step(model: Model, dice: random.Random, folder: Path) -> str:
    what = dice.choice(["write", "write", "write", "take", "revert", "drop", "grow", "copy"])
    if what == "write":
        block, pattern = dice.randrange(BLOCKS), dice.randrange(1, 255)
        write(model.path, block, pattern)
        model.blocks[block] = pattern
    elif what == "take" and len(model.kept) < MOST:
        name = uuid4()
        run(catalogue.TAKE_SNAPSHOT, name=name, path=model.path)
        model.kept[name] = (model.size, list(model.blocks))
    elif what == "grow" and model.size < 12:
        model.size += 1
        subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", model.path, f"{model.size}M"], check=True)
    elif model.kept:
        name = dice.choice(sorted(model.kept))
        if what == "revert":
            run(catalogue.APPLY_SNAPSHOT, name=name, path=model.path)
            model.size, model.blocks = model.kept[name][0], list(model.kept[name][1])
        elif what == "drop":
            run(catalogue.DROP_SNAPSHOT, name=name, path=model.path)
            del model.kept[name]
        elif what == "copy":
            target = folder / "copy"
            run(catalogue.COPY_SNAPSHOT, name=name, path=model.path, target=str(target))
            verify(str(target), model.kept[name][1], dice)
            told = run(catalogue.KEPT_SNAPSHOTS, path=str(target))
            assert (told.size, told.names) == (model.kept[name][0] * MIB, frozenset())
    return what


def test_any_steps_leave_what_was_to_be_there(tmp_path: Path) -> None:
    dice, model, seen = random.Random(SEED), made(tmp_path), set()
    for _step in range(STEPS):
        seen.add(step(model, dice, tmp_path))
        model.check(dice)
    assert seen == {"write", "take", "revert", "drop", "grow", "copy"}
    checked = subprocess.run(["qemu-img", "check", "-f", "qcow2", model.path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_is_not_there_or_open_elsewhere_is_refused(tmp_path: Path) -> None:
    model = made(tmp_path)
    for command in (catalogue.APPLY_SNAPSHOT, catalogue.DROP_SNAPSHOT):
        with pytest.raises(subprocess.CalledProcessError):
            run(command, name=uuid4(), path=model.path)
    holder = subprocess.Popen(["qemu-io", "-f", "qcow2", model.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdin.write(b"length\n")
        holder.stdin.flush()
        holder.stdout.read(1)  # it has it open
        with pytest.raises(subprocess.CalledProcessError):
            run(catalogue.TAKE_SNAPSHOT, name=uuid4(), path=model.path)
    finally:
        holder.stdin.close()
        holder.wait()
