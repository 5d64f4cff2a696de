"""The verbs behind the Makefile's targets and the order of their steps. How a step is done lives in its own module."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from . import packages, progress, supervision, translations, virtualenv
from .progress import SetupFailed, say
from .stage import NAMES, PYTHON, ROOT, VAR, Stage, environment, read_env, settle_env

RUN, TEST = Stage("run"), Stage("test")
KEPT = "kept"  # a file in a stage's directory: its services were asked for by `make services` and stay
READY_S = 120


def main(arguments: Sequence[str]) -> int:
    """Carry out one verb; return the exit status."""
    parser = argparse.ArgumentParser(prog="setup", description="See `make help`.")
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    rest = options.rest[1:] if options.rest[:1] == ["--"] else options.rest
    os.chdir(ROOT)
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        return VERBS[options.verb](rest)
    except SetupFailed as failure:
        print(f"\n{failure}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def run(_rest: Sequence[str]) -> int:
    """Bring everything up and tell the person where it is."""
    _prepare()
    with _alone("run", "Another `make run` or `make down` is at work in this clone"):
        env = _services(RUN, port=_wanted_port(), bind=os.environ.get("BIND", "127.0.0.1"))
        supervision.control(RUN, "stop", "portal:*")
        _lab(RUN, "up")
        _manage(RUN, "Static files, database, catalogue and demo users", "stage")
        started = supervision.start_portal(RUN)
        progress.wait_until(
            f"Waiting until {env['MAINS_URL']} is healthy",
            lambda: _is_healthy(env["MAINS_URL"]),
            timeout_s=READY_S,
            hint=lambda: progress.tail(RUN.log / "web-1.log"),
        )
        for name in supervision.fallen(RUN, started):
            say(f"WARNING: {name} keeps ending. The end of its log:\n{progress.tail(RUN.log / f'{name}.log')}")
        _manage(RUN, "Waiting until the lab's hosts are ready", "await_hosts")
        _welcome(env["MAINS_URL"])
    return 0


def services(_rest: Sequence[str]) -> int:
    """Bring up PostgreSQL and Redis of both stages and leave them running."""
    _prepare()
    for stage in (RUN, TEST):
        with _alone(stage.name, f"Another command is at work on the stage {stage.name}"):
            env = _services(stage)
            (stage.directory / KEPT).touch()
            say(f"{stage.name}: {env['REDIS_URL']}, settings in {stage.env_file}")
    return 0


def test(rest: Sequence[str]) -> int:
    """Run the tests in their own stage; all of them in two processes, since much of their time is waiting."""
    shared = [] if rest or os.cpu_count() == 1 else ["-n", "2"]
    return _in_test_stage([str(PYTHON), "-m", "pytest", *shared, *rest])


def bench(rest: Sequence[str]) -> int:
    """Measure; figures go to the screen."""
    return _in_test_stage([str(PYTHON), "-m", "tests.bench", *rest])


def soak(rest: Sequence[str]) -> int:
    """Run the long crash harness."""
    return _in_test_stage([str(PYTHON), "-m", "tests.soak", *rest])


def down(_rest: Sequence[str]) -> int:
    """Stop everything and remove what was made outside var/."""
    with _alone("run", "Another `make run` or `make down` is at work in this clone"):
        _take_down(RUN)
    with _alone("test", "`make test` is at work in this clone"):
        _take_down(TEST)
    return 0


def clean(_rest: Sequence[str]) -> int:
    """Take everything down and remove both stages' data."""
    down([])
    for stage in (RUN, TEST):
        shutil.rmtree(stage.directory, ignore_errors=True)
    (VAR / "demo.json").unlink(missing_ok=True)
    return 0


def status(_rest: Sequence[str]) -> int:
    """Show what runs; 0 when `make run`'s portal is healthy."""
    for stage in (RUN, TEST):
        alive = supervision.is_alive(stage)
        print(f"{stage.name}: " + ("" if alive else "not running"))
        if alive:
            print(supervision.control(stage, "status").stdout, end="")
    url = read_env(RUN.env_file).get("MAINS_URL")
    healthy = bool(url) and supervision.is_alive(RUN) and _is_healthy(str(url))
    print(f"{url}: {'healthy' if healthy else 'not healthy'}")
    return 0 if healthy else 1


def logs(_rest: Sequence[str]) -> int:
    """Follow the logs of `make run`."""
    files = sorted(str(path) for path in RUN.log.glob("*.log"))
    if not files:
        raise SetupFailed("There are no logs yet: `make run` first.")
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])


def execute(rest: Sequence[str]) -> int:
    """`exec STAGE COMMAND …`: run a command in a stage's environment."""
    if len(rest) < 2 or rest[0] not in NAMES:
        raise SetupFailed("Usage: exec run|test COMMAND …")
    stage = Stage(rest[0])
    if not stage.env_file.exists():
        raise SetupFailed(f"The stage {stage.name} has no settings yet: `make run` or `make services` first.")
    os.execvpe(rest[1], list(rest[1:]), environment(stage))


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "services": services,
    "test": test,
    "bench": bench,
    "soak": soak,
    "down": down,
    "clean": clean,
    "status": status,
    "logs": logs,
    "exec": execute,
}


def _prepare() -> None:
    """Do what both stages share: packages, virtual environment, translations."""
    if os.geteuid():
        raise SetupFailed("This must run as root: it installs packages and makes network namespaces for the lab.")
    with _alone("setup", "Another command prepares this clone"):
        packages.ensure()
        virtualenv.ensure()
        translations.ensure()
        image = [str(PYTHON), "-m", "compute.lab.image", str(VAR / "cache" / "demo-image")]
        progress.run("Building the demo image, unless it is there", image, log=VAR / "log" / "image.log")


def _services(
    stage: Stage, *, port: int | None = None, bind: str = "127.0.0.1", dies_with_caller: bool = False
) -> dict[str, str]:
    """Have PostgreSQL and Redis of a stage running under its supervisor, also after a crash; return its settings."""
    if supervision.is_alive(stage):
        env = settle_env(stage, is_running=True, port=port, bind=bind)
        if supervision.is_current(stage, env):
            supervision.wait_for_stores(stage, env)
            return env
    if count := supervision.stop(stage):
        say(f"Ended {count} processes of an earlier run")
    env = settle_env(stage, is_running=False, port=port, bind=bind)
    supervision.start(stage, env, dies_with_caller=dies_with_caller)
    return env


def _in_test_stage(command: list[str]) -> int:
    _prepare()
    with _alone("test", "Another `make test` is at work in this clone"):
        stays = supervision.is_alive(TEST) and (TEST.directory / KEPT).exists()
        if not stays:
            supervision.stop(TEST)  # of a killed earlier run: nothing of it is trusted
            (TEST.directory / KEPT).unlink(missing_ok=True)
        try:
            _services(TEST, dies_with_caller=not stays)
            _lab(TEST, "up")
            _manage(TEST, "Collecting static files", "stage", "--static-only")
            say(" ".join(command[2:]))
            return _foreground(command)
        finally:
            if not stays:
                with _uninterrupted():
                    _take_down(TEST)


def _foreground(command: list[str]) -> int:
    """Run a command on this terminal; it dies with us, and has time to end well when the person breaks off."""
    child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *command], env=environment(TEST))
    try:
        return child.wait()
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, _Ended):
            child.send_signal(signal.SIGINT)  # Ctrl-C it has seen itself, an order to end it has not
        with _uninterrupted():
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
        raise


def _lab(stage: Stage, verb: str) -> None:
    env = environment(stage)
    title = {"up": "Bringing the lab's hosts and network up (half a minute the first time)", "down": "Taking the lab down"}[verb]
    command = [str(PYTHON), "-m", "compute.lab", verb, "--name", env["MAINS_LAB"], "--state", str(stage.directory)]
    progress.run(f"{stage.name}: {title}", command, log=stage.log / "setup.log", env=env)


def _manage(stage: Stage, title: str, *words: str) -> None:
    progress.run(title, [str(PYTHON), "manage.py", *words], log=stage.log / "setup.log", env=environment(stage))


def _take_down(stage: Stage) -> None:
    if not stage.directory.exists():
        return
    if count := supervision.stop(stage):
        say(f"{stage.name}: stopped {count} processes")
    (stage.directory / KEPT).unlink(missing_ok=True)
    if PYTHON.exists() and stage.env_file.exists():
        _lab(stage, "down")


def _wanted_port() -> int | None:
    port = os.environ.get("PORT")
    if port is None or port.isdigit():
        return int(port) if port else None
    raise SetupFailed(f"PORT must be a number, not {port!r}.")


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _welcome(url: str) -> None:
    try:
        demo = json.loads((VAR / "demo.json").read_text())
    except (FileNotFoundError, ValueError):
        demo = {}
    print(f"\nMains is ready: {url}\n")
    for role in ("admin", "tenant", "rival"):
        login = demo.get(role) or {}
        if login:
            print(f"  {role:7} {login.get('username')} / {login.get('password')}")
    print(
        "\nNext: sign in as the tenant, press “Create instance”, and watch its console. Or sign up as somebody new:"
        "\nno mail leaves this machine, the operator reads it under Outbox (/operator/outbox/)."
        "\nPrograms: var/demo.json has an API key; the API is described at "
        f"{url}/api/v1/docs/."
        "\n`make status`, `make logs`, `make down`.",
        flush=True,
    )


@contextmanager
def _alone(name: str, busy: str) -> Iterator[None]:
    """Hold one of this clone's locks; say so when that means to wait. It ends with this process, however that ends."""
    VAR.mkdir(exist_ok=True)
    with (VAR / f"{name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{busy}: waiting.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no Ctrl-C cut the tidying short."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Ended(KeyboardInterrupt):
    """Somebody told this process alone to end, other than by Ctrl-C."""


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended
