"""The whole way by the command line as it is fetched from the portal, on real guests: who am I → key → create and wait →
list, show → console ticket → stop, start → usage → delete; nothing stays. Then bad input, another tenant, the bar."""
import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stories.cloud import LabCloud
from tests.stories.portal import Portal

pytestmark = pytest.mark.lab
LIMIT_S = 120
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def program(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as anybody fetches it; its digest is the one on its page."""
    status, content = portal.get("/cli/mains")
    assert status == 200 and hashlib.sha256(content).hexdigest() in portal.get("/cli/")[1].decode()
    path = tmp_path_factory.mktemp("cli") / "mains"
    path.write_bytes(content)
    return path


@pytest.fixture
def environment(portal: Portal, tmp_path: Path) -> dict[str, str]:
    """Two people, each with a stored login of their own."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}


@pytest.fixture
def mains(portal: Portal, program: Path, environment: dict[str, str]) -> Run:
    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-I", str(program), *words], env=environment, input=stdin, capture_output=True,
                              text=True, timeout=LIMIT_S)

    for who in ("rival", "tenant"):
        done = run("login", portal.url, "--profile", who, stdin=portal.key(who) + "\n")
        assert done.returncode == 0 and portal.key(who) not in done.stdout + done.stderr
    return run


def said(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_instance_lives_is_billed_and_leaves_nothing(portal: Portal, cloud: LabCloud, mains: Run, tmp_path: Path) -> None:
    before = cloud.census()
    assert "demo" in said(mains("me"))
    key = said(mains("ssh-key", "create", "cli", "--generate", "--save", str(tmp_path / "id"), "-q")).strip()
    assert "PRIVATE KEY" in (tmp_path / "id").read_text() and (tmp_path / "id").stat().st_mode & 0o777 == 0o600
    create = ("instance", "create", "cli-story", "--type", portal.demo["instance_type"], "--image", portal.demo["image"],
              "--ssh-key", "cli", "--count", "2")
    assert "hourly" in said(mains(*create, "--dry-run")) and cloud.census() == before
    made = mains(*create, "--wait", "-q")
    pks = said(made).split()
    assert len(set(pks)) == 2 and set(pks) <= cloud.running(), made.stderr
    rows = {row["name"]: row for row in json.loads(said(mains("instance", "list", "--state", "running", "--json")))}
    assert {row["id"] for row in rows.values()} == set(pks)
    first, second = sorted(rows)
    assert rows[first]["id"] in said(mains("instance", "show", first)) and "running" in said(mains("instance", "show", first))
    ticket = json.loads(said(mains("instance", "console", first, "--json")))
    assert ticket["ticket"] and ticket["ticket"] not in ticket["ws"]
    assert rows[first]["id"] in said(mains("console-url", first))
    said(mains("instance", "stop", first, second, "--force", "--wait"))
    assert not cloud.running() & set(pks)
    assert "instance.start" in said(mains("instance", "start", first, "--wait")) and rows[first]["id"] in cloud.running()
    used = json.loads(said(mains("usage", "list", "--resource", f"instance/{first}", "--json")))
    assert {"instance.running", "instance.stopped"} <= {row["meter"] for row in used}
    assert "CNY" in said(mains("usage", "list", "--resource", f"instance/{first}", "--start", "1d"))
    said(mains("instance", "delete", *pks, "--purge", "--yes", "--wait"))
    assert said(mains("instance", "list", "-q")) == "" and mains("instance", "show", first).returncode == 3
    said(mains("ssh-key", "delete", key, "--yes"))
    assert cloud.census() == before


def test_bad_input_names_its_option_and_creates_nothing(portal: Portal, mains: Run) -> None:
    before = portal.query("SELECT count(*) FROM kernel_resource")
    create = ("instance", "create", "bad", "--type", portal.demo["instance_type"], "--image")
    for words, code, text in [
            ((*create, portal.demo["image"], "--root-disk-gib", "0"), 3, "--root-disk-gib"),
            ((*create, portal.demo["image"], "--root-disk-gib", "many"), 2, "many"),
            ((*create, "../../etc/passwd"), 3, "../../etc/passwd"),
            ((*create, portal.demo["image"], "--project", portal.demo["rival"]["project"]), 3, "--project"),
            (("instance", "create", "<b>", *create[3:], portal.demo["image"]), 3, "NAME"), (create[:3], 3, "--image")]:
        done = mains(*words)
        assert done.returncode == code and text in done.stderr and "Traceback" not in done.stderr, (words, done.stderr)
    assert portal.query("SELECT count(*) FROM kernel_resource") == before


def test_a_bar_is_drawn_and_the_rival_sees_nothing(
        portal: Portal, program: Path, mains: Run, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    words = ("instance", "create", "barred", "--type", portal.demo["instance_type"], "--image", portal.demo["image"],
             "--wait", "-c", "id")
    with subprocess.Popen([sys.executable, "-I", str(program), *words], env=environment, stdout=subprocess.PIPE,
                          stderr=theirs) as running:
        os.close(theirs)
        seen = b""
        while chunk := _read(ours):
            seen += chunk
        pk = running.stdout.read().decode().split()[-1]
    os.close(ours)
    assert running.returncode == 0 and seen.startswith(b"\r\x1b[K[-") and b" %  " in seen and seen.endswith(b"\r\x1b[K")
    operation = json.loads(said(mains("operation", "list", "--target", pk, "--json")))[0]["id"]
    for words in [("instance", "show", pk), ("instance", "console", pk), ("instance", "delete", pk, "--yes"),
                  ("instance", "show", "barred"), ("operation", "wait", operation)]:
        done = mains(*words, "--profile", "rival")
        assert done.returncode == 3 and done.stdout == "", (words, done.stdout)
    assert said(mains("instance", "list", "-q", "--profile", "rival")) == ""
    said(mains("instance", "delete", pk, "--purge", "--yes", "--wait"))


def _read(terminal: int) -> bytes:
    """What the terminal shows next; nothing when its other end is closed."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
