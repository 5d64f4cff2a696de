"""What an earlier run left is found and ended, and nothing else is; a guard leaves nobody behind."""
import configparser
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.lab.setup import leftovers, supervision
from compute.lab.setup import stage as stages
from compute.lab.setup.leftovers import MARK, Process, belongs
from compute.lab.setup.stage import Stage

STATE = Path("/srv/mains/var/run")
PLACE = (7, 1234)


def seen(command: str, *, mark: Path | None = None, place: tuple[int, int] | None = None) -> bool:
    environ = frozenset({f"{MARK}={mark}"} if mark else ())
    return belongs(Process(1, command, environ, place), state_dir=STATE, places=[PLACE])


def eventually(ask: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if ask():
            return True
        time.sleep(0.05)
    return False


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_marked_worker_is_ours() -> None:
    assert seen("python -m celery -A portal worker -c 4", mark=STATE)


def test_another_stages_worker_is_not_ours() -> None:
    assert not seen("python -m celery -A portal worker -c 4", mark=Path("/srv/mains/var/test"))


def test_a_guest_started_by_a_marked_worker_is_left_alone() -> None:
    assert not seen("/usr/bin/qemu-system-x86_64 -name guest=i-1", mark=STATE)


def test_whoever_works_in_our_database_directory_is_ours() -> None:
    assert seen("postgres: autovacuum launcher", place=PLACE)
    assert not seen("postgres: autovacuum launcher", place=(7, 99))


def test_our_supervisor_is_known_by_its_configuration() -> None:
    assert seen(f"python -m supervisor.supervisord -c {STATE}/supervisord.conf")
    assert not seen("python -m supervisor.supervisord -c /srv/other/var/run/supervisord.conf")
    assert not seen(f"vi {STATE}/supervisord.conf")


def test_a_process_left_in_our_redis_directory_is_ended_and_its_neighbour_is_not(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    with (subprocess.Popen(["sleep", "60"], cwd=tmp_path / "redis") as left,
          subprocess.Popen(["sleep", "60"], cwd=tmp_path) as neighbour):
        try:
            assert leftovers.find(tmp_path) == [left.pid]
            assert leftovers.end(tmp_path) == 1
            assert left.wait(timeout=5) == -signal.SIGTERM
            assert neighbour.poll() is None
        finally:
            left.kill()
            neighbour.kill()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(stages, "VAR", tmp_path / "a %s place")
    return stages.settle_env(Stage("run"), is_running=False)


def test_the_supervisors_configuration_holds_no_secret(settings: dict[str, str]) -> None:
    text = supervision.configuration(Stage("run"), settings)
    password = settings["DATABASE_URL"].split(":")[2].split("@")[0]
    assert not any(secret in text for secret in (password, settings["SECRET_KEY"], settings["MASTER_KEYS"]))


def test_the_supervisors_configuration_is_readable_wherever_the_clone_lies(settings: dict[str, str]) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(supervision.configuration(Stage("run"), settings))
    assert parser["program:redis"]["directory"].replace("%%", "%") == str(Stage("run").directory / "redis")
    assert parser["group:portal"]["programs"] == "web-1,web-2,worker,beat,watcher"


def test_the_test_stage_runs_no_portal_processes(settings: dict[str, str]) -> None:
    assert "program:web-1" not in supervision.configuration(Stage("test"), settings)


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int, int]:
    """A guard, the process that it runs, and that one's child: like a worker and a member of its pool."""
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait"
    guard = subprocess.Popen([sys.executable, str(supervision.SETUP / "guard.py"), "sh", "-c", script])
    assert eventually(pids.exists)
    main, child = map(int, pids.read_text().split())
    return guard, main, child


def test_a_killed_main_process_takes_its_children_along(guarded: tuple[subprocess.Popen[bytes], int, int]) -> None:
    guard, main, child = guarded
    os.kill(main, signal.SIGKILL)
    assert guard.wait(timeout=10) == 128 + signal.SIGKILL
    assert eventually(lambda: not is_running(child))


def test_a_stopped_guard_stops_everything(guarded: tuple[subprocess.Popen[bytes], int, int]) -> None:
    guard, main, child = guarded
    guard.terminate()
    guard.wait(timeout=10)
    assert eventually(lambda: not is_running(main) and not is_running(child))


def test_a_killed_guard_takes_the_main_process_along(guarded: tuple[subprocess.Popen[bytes], int, int]) -> None:
    guard, main, child = guarded
    guard.kill()
    guard.wait(timeout=10)
    assert eventually(lambda: not is_running(main))
    os.kill(child, signal.SIGKILL)  # a shell does not take its children along; Celery's worker does
