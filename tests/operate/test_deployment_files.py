"""The files of the deployment guide fit the code: every variable is read, every command exists, ports and paths agree."""
import ast
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.urls import reverse

from compute.lab.setup.stage import Stage
from compute.lab.setup.supervision import portal_commands
from portal import web
from portal.checks import PLACEHOLDER
from portal.kernel.models import Region

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "portal" / "deployment"
UNITS = sorted((FILES / "systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
READERS = {"text", "flag", "integer", "words"}


def read_by_settings() -> dict[str, str]:
    """Variable → the function of portal.env that reads it."""
    source = ast.parse((ROOT / "portal" / "settings.py").read_text())
    return {call.args[0].value: call.func.attr for call in ast.walk(source) if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute) and call.func.attr in READERS
            and isinstance(call.func.value, ast.Name) and call.func.value.id == "env"}


def example() -> dict[str, tuple[str, str]]:
    """Variable → its value in the example and what is said of it, or of the group it stands in."""
    found, said, fresh = {}, "", True
    for line in (FILES / "mains.env").read_text().splitlines():
        if match := re.fullmatch(r"#?([A-Z][A-Z_]+)=(.*)", line):
            found[match[1]], fresh = (match[2], said), True
        elif not line:
            fresh = True
        elif line.startswith("# "):
            said, fresh = (line if fresh else f"{said} {line}"), False
    return found


def test_every_variable_is_explained_and_every_explained_one_is_read() -> None:
    variables = read_by_settings()
    assert len(variables) > 20
    assert set(example()) == set(variables)
    assert [name for name, (_value, said) in example().items() if len(said) < 12] == []


def test_secrets_may_lie_in_files_and_are_placeholders_here() -> None:
    secrets = {name for name, (_value, said) in example().items() if said.startswith("# Secret.")}
    assert secrets == {"SECRET_KEY", "MASTER_KEYS", "DATABASE_URL", "REDIS_URL", "EMAIL_URL", "METRICS_TOKEN"}
    assert {read_by_settings()[name] for name in secrets} == {"text"}
    assert all(PLACEHOLDER in example()[name][0] for name in secrets - {"REDIS_URL"})


def test_the_retention_that_the_example_names_is_the_default() -> None:
    said = {name: int(value) for name, (value, _said) in example().items() if name.startswith("RETAIN_")}
    assert sorted(said.values()) == sorted(settings.RETENTION.values())


def lines(path: Path, key: str) -> list[str]:
    return [line.partition("=")[2] for line in path.read_text().splitlines() if line.startswith(f"{key}=")]


def commands() -> Iterator[tuple[str, list[str]]]:
    for path in SERVICES:
        for line in lines(path, "ExecStart"):
            yield path.name, shlex.split(line)


def test_every_command_of_the_units_exists() -> None:
    demo = portal_commands(Stage("run"), {"MAINS_BIND": "127.0.0.1", "MAINS_URL": "http://127.0.0.1:8000"})
    celery_options = {word for name in ("worker", "beat") for word in demo[name] if word.startswith("-")}
    applications = {node.targets[0].id for node in ast.parse((ROOT / "portal" / "asgi.py").read_text()).body
                    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    seen = set()
    for unit, (python, *words) in commands():
        assert python == "/opt/mains/.venv/bin/python", unit
        seen.add(words[1])
        if words[0] == "manage.py":
            assert words[1] in get_commands(), unit
        elif words[1] == "portal.web":
            asked = web.arguments([word.replace("%i", "1") for word in words[2:]])  # refuses options that it does not know
            assert asked.application in applications, unit
        else:
            assert words[:4] == ["-m", "celery", "-A", "portal"] and words[4] in ("worker", "beat"), unit
            assert {word for word in words if word.startswith("-")} <= celery_options, unit
    assert seen == {"portal.web", "celery", "watch", "backup"}


def test_workers_listen_to_the_queues_that_are_rung() -> None:
    queues = {unit: words[words.index("-Q") + 1] for unit, words in commands() if "-Q" in words}
    assert queues == {"mains-worker@.service": Region(slug="%i").queue,
                      "mains-worker.service": settings.CELERY_TASK_DEFAULT_QUEUE}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_units_are_hardened_and_read_the_settings(unit: Path) -> None:
    text = unit.read_text()
    for line in ("User=mains", "EnvironmentFile=/etc/mains/mains.env", "NoNewPrivileges=yes", "ProtectSystem=strict",
                 "ProtectHome=yes", "StateDirectory=mains", "UMask=0077", "CapabilityBoundingSet="):
        assert f"\n{line}\n" in text, line


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        name = path.name.replace("@.", "@lab.")
        (tmp_path / name).write_text(path.read_text().replace("/opt/mains/.venv/bin/python", shutil.which("python3")))
    done = subprocess.run(["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "mains-" in line]
    assert done.returncode == 0 and ours == [], done.stderr


def port_of(unit: str) -> str:
    words = dict(commands())[unit]
    return words[words.index("--port") + 1]


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_proxies_lead_to_the_units(name: str) -> None:
    text = (FILES / name).read_text()
    assert text.count("{") == text.count("}")
    web, console = port_of("mains-web@.service"), port_of("mains-console.service")
    assert web != console and f"127.0.0.1:{web}" in text and f"127.0.0.1:{console}" in text
    assert "/ws/console/" in text and reverse("metrics") in text and settings.SITE_URL not in text
    asgi = (ROOT / "portal" / "asgi.py").read_text()
    assert 'path("ws/console/"' in asgi and 'path("ws/live/"' in asgi


def test_nginx_passes_on_no_header_that_a_client_could_forge() -> None:
    text = (FILES / "nginx.conf").read_text()
    places = [block for block in re.findall(r"location [^{]+\{([^}]*)\}", text) if "proxy_pass" in block]
    assert len(places) == 3
    for block in places:
        plain = " ".join(block.split())
        for header in ("Host $host;", "X-Forwarded-For $remote_addr;", "X-Forwarded-Proto $scheme;"):
            assert f"proxy_set_header {header}" in plain
    assert sum("Upgrade $http_upgrade" in " ".join(block.split()) for block in places) == 2


def test_the_guide_names_every_unit_in_both_languages() -> None:
    for language in ("en", "zh"):
        text = (ROOT / "portal" / "docs" / language / "operator-deployment.md").read_text()
        assert [path.name for path in UNITS if path.name not in text] == []
        for page in ("deployment", "backup", "upgrade"):
            assert (ROOT / "portal" / "docs" / language / f"operator-{page}.md").read_text().startswith("# ")
