"""The repository's own Python files, read as syntax trees."""
import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The order of the rooms: a room imports only from smaller numbers; equal numbers are siblings that never meet.
ORDER = {
    "portal.kernel": 0, "tenants": 1, "billing": 2, "compute.hosts": 3, "storage": 4,
    "compute.monitoring": 4, "compute.network": 5,
    "compute.instances": 6, "storage.protection": 7, "compute.availability": 7, "compute.lab": 7, "portal": 8,
}


@cache
def files() -> tuple[Path, ...]:
    """Tracked files and new ones that are not ignored, so that a mistake is found before it is committed."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, capture_output=True,
                            text=True, check=True).stdout.split()
    return tuple(path for path in (ROOT / name for name in listed) if path.exists())


def rooms_files() -> Iterator[Path]:
    """Files of the site itself: no tests, no migrations."""
    for path in files():
        parts = path.relative_to(ROOT).parts
        if parts[0] not in ("tests", "manage.py") and "migrations" not in parts:
            yield path


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """The room with the longest matching name; None for what is not ours."""
    found = [room for room in ORDER if module == room or module.startswith(room + ".")]
    return max(found, key=len) if found else None


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of everything that the file imports, wherever in it, with the line."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{source}.{alias.name}", node.lineno
