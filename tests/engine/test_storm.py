"""Real Celery workers under SIGKILL and SIGSTOP, Redis flushed all the time: all settles, nothing doubled."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db import connection

from portal.kernel import tasks
from portal.kernel.models import AuditEvent, Operation, Region
from portal.kernel.operations import submit
from tests.engine import storm_kind
from tests.soak import SEED, SOAKING

OPERATIONS, KILLS, STOPS, LIMIT_S = (1200, 250, 50, 900) if SOAKING else (120, 24, 5, 150)
WORKERS, LEASE_S = 8, 3


class Worker:
    """A Celery worker with eight processes on the test's own database, started again when it dies, as `make run` does."""

    def __init__(self, log: Path) -> None:
        parts = connection.settings_dict
        url = f"postgresql://{parts['USER']}:{parts['PASSWORD']}@{parts['HOST']}:{parts['PORT']}/{parts['NAME']}"
        self.environment = {**os.environ, "DATABASE_URL": url, "ENGINE_LEASE_S": str(LEASE_S)}
        self.log, self.process = log.open("ab"), None
        self.keep_alive()

    def keep_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "portal", "worker", "-Q", "default,region.storm", "-c", str(WORKERS),
                 "-I", "tests.engine.storm_kind", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"],
                env=self.environment, stdout=self.log, stderr=self.log)

    def children(self) -> list[int]:
        return children(self.process.pid)

    def end(self) -> None:
        offspring = self.children()
        self.process.kill()
        for child in offspring:
            _hurt(child, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def worker(transactional_db: None, tmp_path: Path):
    worker = Worker(tmp_path / "worker.log")
    yield worker
    worker.end()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.mark.slow
def test_operations_survive_a_storm_of_kills_and_pauses(worker, tmp_path: Path, settings) -> None:
    settings.DOORBELLS = True
    chance, world = random.Random(SEED), tmp_path / "world"
    (world / "absorbed").mkdir(parents=True)
    region = Region.objects.create(slug="storm", name="Storm")
    for _number in range(OPERATIONS):
        submit(storm_kind.NAME, region=region, actor=None, arguments={"world": str(world)})
    kills, stops = storm(worker, chance)
    made = [path.name for path in world.iterdir() if path.is_file()]
    assert not Operation.objects.exclude(state="succeeded").exists(), "lost"
    assert len(made) == len(set(made)) == OPERATIONS * len(storm_kind.STEPS)
    assert AuditEvent.objects.filter(action="test.stormed").count() == OPERATIONS, "settled twice or not at all"
    absorbed = len(list((world / "absorbed").iterdir()))
    print(f"\n{OPERATIONS} operations, {kills} kills, {stops} pauses past the lease, {absorbed} repeats absorbed")
    assert kills >= KILLS * 0.8 and stops >= STOPS * 0.8


def storm(worker: Worker, chance: random.Random) -> tuple[int, int]:
    """Hurt the workers until all is settled; sweeps as beat would, flushes Redis every second."""
    broker = redis.Redis.from_url(settings.REDIS_URL)
    end, flushed, kills, stops, paused = time.monotonic() + LIMIT_S, 0.0, 0, 0, {}
    while Operation.objects.unfinished().exists() or kills < KILLS or stops < STOPS:
        assert time.monotonic() < end, f"unsettled after {LIMIT_S} s: {Operation.objects.unfinished().count()}"
        worker.keep_alive()
        now = time.monotonic()
        if now - flushed > 1:
            broker.flushdb()
            flushed = now
        tasks.sweep()
        for pid in [pid for pid, until in paused.items() if until < now]:
            paused.pop(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        victims = [pid for pid in worker.children() if pid not in paused]
        if victims and kills < KILLS:
            kills += _hurt(chance.choice(victims), signal.SIGKILL)
        elif victims and stops < STOPS:
            pid = chance.choice(victims)
            stops += _hurt(pid, signal.SIGSTOP)
            paused[pid] = now + LEASE_S + 1.5
        if victims and stops < STOPS and chance.random() < 0.2 and kills < KILLS:
            pid = chance.choice(victims)
            stops += _hurt(pid, signal.SIGSTOP)
            paused[pid] = now + LEASE_S + 1.5
        time.sleep(chance.uniform(0.1, 0.4))
    for pid in paused:
        _hurt(pid, signal.SIGCONT)
    return kills, stops


def _hurt(pid: int, sign: signal.Signals) -> int:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return 0
    return 1
