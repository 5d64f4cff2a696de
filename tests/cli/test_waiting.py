"""Waiting for operations: lines in a pipe, a bar on a terminal, what an interruption says, how a failure ends."""
import hashlib
import itertools
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import FILE, KEY, Stub

PK = "11111111-1111-4111-8111-111111111111"
TARGET = "22222222-2222-4222-8222-222222222222"
PATH = f"operations/{PK}/"
START = f"instances/{TARGET}/actions/start/"


def operation(state: str, progress: int = 0, **further: object) -> dict:
    return {"id": PK, "kind": "instance.start", "state": state, "progress": progress, "step": "boot\x1b[1m", "error": None,
            "result": None, "target": {"type": "instance", "id": TARGET, "url": "/"}, **further}


@pytest.fixture
def starting(stub: Stub) -> Stub:
    stub.answers["POST", START] = (202, operation("queued"))
    stub.answers["GET", PATH] = [(200, operation("running", 40)), (200, operation("running", 40)),
                                 (200, operation("succeeded", 100))]
    return stub


def test_lines_where_there_is_no_terminal(mains, starting: Stub) -> None:
    said = mains("instance", "start", TARGET, "--wait")
    assert said.code == 0 and PK in said.out and "\x1b" not in said.err and "\r" not in said.err
    assert [line.split("%")[0].split()[-1] for line in said.err.splitlines()] == ["0", "40", "100"]
    assert all("wait=" in path for path in starting.paths("GET"))


def test_ids_only_means_no_lines(mains, starting: Stub) -> None:
    said = mains("instance", "start", TARGET, "--wait", "-q")
    assert (said.out, said.err) == (TARGET + "\n", "")


def test_without_wait_it_says_how_to_watch(mains, starting: Stub) -> None:
    said = mains("instance", "start", TARGET)
    assert said.code == 0 and f"mains operation wait {PK}" in said.err and starting.paths("GET") == []


def test_a_failure_is_told_and_counts(mains, starting: Stub) -> None:
    starting.answers["GET", PATH] = (200, operation("failed", 60, error={"code": "no_capacity", "detail": "No host has room."}))
    said = mains("instance", "start", TARGET, "--wait", "--json")
    assert said.code == 1 and said.json["state"] == "failed"
    said = mains("operation", "wait", PK)
    assert said.code == 1 and "No host has room." in said.err


def test_what_was_made_is_shown(mains, stub: Stub) -> None:
    made = operation("succeeded", 100, kind="instance.create", result={"instances": [TARGET]})
    stub.answers["POST", "instances/"] = (202, operation("queued"))
    stub.answers["GET", PATH] = (200, made)
    stub.answers["GET", f"instances/{TARGET}/"] = (200, {"id": TARGET, "name": "web", "state": "running"})
    words = ("instance", "create", "web", "--project", PK, "--region", PK, "--type", PK, "--image", PK, "--wait")
    said = mains(*words)
    assert said.code == 0 and "running" in said.out.splitlines()[1] and TARGET in said.out
    assert mains(*words, "-q").out == TARGET + "\n" and mains(*words, "--json").json == made


def test_the_time_that_was_given_is_kept(mains, program, starting: Stub, monkeypatch) -> None:
    starting.answers["GET", PATH] = (200, operation("running", 1))
    monkeypatch.setattr(program, "time", SimpleNamespace(monotonic=itertools.count(0, 4).__next__))
    options = SimpleNamespace(timeout=10, quiet=True)
    with pytest.raises(program.Stop) as raised:
        program.wait(operation("queued"), options, program.Cloud(program.Client(starting.url, KEY), {}))
    text = str(raised.value)
    assert raised.value.code == 1 and "Not finished after 10 s." in text and f"mains operation wait {PK}" in text
    assert [path.rpartition("wait=")[2] for path in starting.paths("GET")] == ["6", "2"]


def process(stub: Stub, tmp_path: Path, *words: str, stderr: int) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "MAINS_URL": stub.url, "MAINS_API_KEY": KEY, "LANG": "C.UTF-8",
                   "XDG_CONFIG_HOME": str(tmp_path)}
    # A process of pytest-xdist ignores interruptions, and what it starts would too.
    command = ["env", "--default-signal=INT", sys.executable, str(FILE), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr)


def test_a_bar_on_a_terminal(starting: Stub, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    running = process(starting, tmp_path, "instance", "start", TARGET, "--wait", stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # its end of the terminal is closed
            break
        seen += chunk
        if not chunk:
            break
    os.close(ours)
    out = running.communicate()[0].decode()
    assert running.returncode == 0 and PK in out and "\x1b" not in out
    assert b"[##########---------------]  instance.start   40 %  boot\\x1b[1m" in seen and seen.endswith(b"\r\x1b[K")


def test_an_interruption_says_that_it_goes_on(stub: Stub, tmp_path: Path) -> None:
    running = None

    def interrupt(_asked) -> tuple:
        os.kill(running.pid, signal.SIGINT)
        return 200, operation("running", 10)

    stub.answers["GET", PATH] = [(200, operation("running", 1)), interrupt]
    running = process(stub, tmp_path, "operation", "wait", PK, stderr=subprocess.PIPE)
    _out, err = running.communicate(timeout=30)
    assert running.returncode == 130 and f"mains operation wait {PK}" in err.decode() and b"Traceback" not in err
    assert stub.paths("POST") == []


def test_a_reader_that_has_had_enough(stub: Stub, tmp_path: Path) -> None:
    rows = [{"id": PK, "slug": "x" * 1000, "name": "x"}] * 200
    stub.answers["GET", "regions/"] = (200, {"next": f"{stub.url}/api/v1/regions/?cursor=more", "previous": None,
                                             "results": rows})
    running = process(stub, tmp_path, "region", "list", "--json", stderr=subprocess.PIPE)
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr.read() == b"" and running.wait(30) == 0


EXPORT = f"exports/{PK}/"


def test_an_export_is_waited_for_fetched_and_checked(mains, stub: Stub, tmp_path: Path) -> None:
    """The link gets no key; what arrives is what the portal says it is, and no file is overwritten."""
    whole = b'[{"title": "rows"}]'
    found = {"id": PK, "what": "focus", "format": "json", "first_month": "2026-10", "last_month": "2026-10", "error": None,
             "sha256": hashlib.sha256(whole).hexdigest()}
    stub.answers["GET", EXPORT] = [(200, found | {"state": "writing"}), (200, found | {"state": "ready"})]
    stub.answers["POST", f"{EXPORT}actions/link/"] = (200, {"url": f"{stub.url}/file?signature=x", "seconds": 3600})
    stub.answers["GET", "/file"] = (200, [{"title": "rows"}])
    said = mains("export", "download", PK, str(tmp_path / "bill.jsonl"))
    assert (said.code, said.pauses, (tmp_path / "bill.jsonl").read_bytes()) == (0, [2], whole)
    assert "Authorization" not in stub.asked[-1].headers
    assert mains("export", "download", PK, str(tmp_path / "bill.jsonl")).code == 2
    stub.answers["GET", EXPORT] = (200, found | {"state": "ready", "sha256": "0" * 64})
    said = mains("export", "download", PK, str(tmp_path / "other.jsonl"))
    assert said.code == 4 and "did not arrive whole" in said.err and not (tmp_path / "other.jsonl").exists()
    stub.answers["GET", EXPORT] = (200, found | {"state": "failed", "error": {"code": "x", "detail": "Too many", "facts": {}}})
    assert mains("export", "download", PK).code == 1
