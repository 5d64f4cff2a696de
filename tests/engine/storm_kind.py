"""The storm's operation kind: four steps, each making one thing outside the database, exactly once in effect.

The outside world is a folder. A step makes its file with O_EXCL: made twice is impossible, asked twice is counted.
Loaded into the Celery workers of the storm (`-I tests.engine.storm_kind`).
"""
import os
import random
import time
from pathlib import Path

from portal.kernel import audit
from portal.kernel.operations import Done, Kind, Run, Step, Wait, register

NAME = "test.storm"
STEPS = ("one", "two", "three", "four")


def _make(name: str):
    def do(run: Run) -> Done | Wait:
        if name == "two" and run.facts.get("waited"):
            return Done()
        world = Path(run.arguments["world"])
        run.before(name)
        time.sleep(random.uniform(0, 0.02))
        try:
            os.close(os.open(world / f"{run.operation.pk}-{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            (world / "absorbed" / f"{run.operation.pk}-{name}-{time.monotonic_ns()}").touch()
        run.after(name)
        if name == "two":
            run.remember(waited=True)
            return Wait(0.2)
        return Done()
    return do


def _succeeded(run: Run) -> dict:
    audit.record("test.stormed", None, actor=None, operation=run.operation)
    return {}


def _failed(run: Run, error: dict) -> None:
    raise AssertionError("the storm's steps do not fail")


register(Kind(name=NAME, label=NAME, steps=tuple(Step(name, _make(name)) for name in STEPS), succeeded=_succeeded,
              failed=_failed, deadline_s=3600, pivot="one"))
