"""The rooms' law: imports and foreign keys point one way, outside engines stay in their corner, files stay small."""
import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models

from tests.architecture.source import ORDER, ROOT, files, imports_of, module_of, room_of, rooms_files, tree

# The kernel names these by string, as Django names its user.
KERNEL_MAY_NAME = {"tenants.User", "tenants.Organization", "tenants.Project"}
LARGEST = 450


def may_import(importer: str, imported: str) -> bool:
    return importer == imported or ORDER[imported] < ORDER[importer]


def wrong_imports(source: str, imported: list[tuple[str, int]]) -> list[str]:
    importer = room_of(source)
    found = []
    for name, line in imported:
        room = room_of(name)
        if importer and room and not may_import(importer, room):
            found.append(f"{source}:{line} ({importer}) imports {name} ({room})")
    return found


def test_imports_point_to_the_left() -> None:
    wrong = [text for path in rooms_files() for text in wrong_imports(module_of(path), list(imports_of(path)))]
    assert wrong == []


@pytest.mark.parametrize(("source", "imported"), [
    ("portal.kernel.audit", "tenants.models.User"), ("storage.models", "compute.instances.models"),
    ("compute.hosts.api", "storage"), ("billing.rating", "portal.settings"),
    ("storage.protection.x", "compute.availability.y"),
])
def test_the_import_test_can_fail(source: str, imported: str) -> None:
    assert wrong_imports(source, [(imported, 1)])


def test_every_installed_app_of_ours_has_a_place_in_the_order() -> None:
    ours = [config.name for config in apps.get_app_configs()
            if config.path.startswith(str(ROOT)) and ".venv" not in config.path]
    assert len(ours) >= 7
    assert [name for name in ours if room_of(name) is None] == []


def relations() -> list[tuple[type[models.Model], models.Field]]:
    return [(model, field) for model in apps.get_models() if room_of(model.__module__)
            for field in model._meta.local_fields if field.is_relation]


def test_foreign_keys_point_to_the_left() -> None:
    assert len(relations()) > 20
    wrong = []
    for model, field in relations():
        target = room_of(field.related_model.__module__)
        if target is None or may_import(room_of(model.__module__), target):
            continue
        if room_of(model.__module__) == "portal.kernel" and field.related_model._meta.label in KERNEL_MAY_NAME:
            continue
        wrong.append(f"{model._meta.label}.{field.name} → {field.related_model._meta.label}")
    assert wrong == []


def test_libvirt_stays_in_its_drivers() -> None:
    homes = ("compute.hosts.drivers.libvirt", "storage.pools.libvirt")
    bindings = {"libvirt", "libvirt_qemu", "libvirtaio"}
    using = [module_of(path) for path in rooms_files()
             if bindings & {name.split(".")[0] for name, _line in imports_of(path)}]
    assert using, "nobody imports libvirt: this test looks at the wrong files"
    assert [module for module in using if not module.startswith(homes)] == []


def test_ovn_stays_in_its_driver() -> None:
    using = [module_of(path) for path in rooms_files() if "ovs" in {name.split(".")[0] for name, _line in imports_of(path)}]
    assert using, "nobody imports ovs: this test looks at the wrong files"
    assert [module for module in using if not module.startswith("compute.network.fabric.ovn")] == []


def test_the_set_up_uses_nothing_but_the_standard_library() -> None:
    """It runs before anything is installed."""
    for path in rooms_files():
        if module_of(path).startswith("compute.lab.setup"):
            names = {name.split(".")[0] for name, _line in imports_of(path)}
            assert not names & {"django", "celery", "redis", "psycopg", "structlog", "libvirt"}, path


def test_no_file_grows_beyond_what_one_reads_at_a_sitting() -> None:
    large = {str(path.relative_to(ROOT)): lines for path in files() if "migrations" not in path.parts
             and (lines := len(path.read_text().splitlines())) > LARGEST}
    assert large == {}


def test_no_drawer_for_odds_and_ends() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "services", "misc", "manager"}
    wrong = [str(path) for path in files()
             if forbidden & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}]
    assert wrong == []


def test_every_module_says_what_it_is_for() -> None:
    obvious = ("__init__.py", "apps.py", "urls.py")
    silent = [str(path.relative_to(ROOT)) for path in rooms_files() if path.name not in obvious
              and tree(path).body and ast.get_docstring(tree(path)) is None]
    assert silent == []


def test_no_behaviour_hangs_on_signals() -> None:
    """Django's wiring after migrate, Celery's own life cycle, and the start of a request where we are Django's handler."""
    wrong = [f"{module_of(path)}:{line} {name}" for path in rooms_files() for name, line in imports_of(path)
             if (".signals." in f"{name}." or name.startswith("django.dispatch"))
             and not name.endswith((".post_migrate", ".request_started")) and not name.startswith("celery.signals")]
    assert wrong == []


def test_no_cached_property_locks() -> None:
    """That of functools has one lock for all objects of a class (until Python 3.12): requests waited for each other's rights."""
    locking = [str(path.relative_to(ROOT)) for path in rooms_files() for name, _line in imports_of(path)
               if name == "functools.cached_property" and not module_of(path).startswith("compute.lab")]
    assert locking == []


def test_models_do_not_override_save() -> None:
    wrong = [f"{module_of(path)}:{node.lineno}" for path in rooms_files() if "models" in module_of(path)
             for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef) and node.name in ("save", "delete")]
    assert wrong == []


def created_in(path: Path) -> Iterator[tuple[str, int]]:
    """Names of models whose `objects.create` (or a like) is called in the file."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(attr="create" | "bulk_create" | "update_or_create" | "get_or_create",
                               value=ast.Attribute(attr="objects", value=ast.Name(id=name))):
                yield name, node.lineno


WRITERS = {
    "Operation": "portal.kernel.operations", "Hold": "portal.kernel.operations", "AuditEvent": "portal.kernel.audit",
    "AuditChain": "portal.kernel.sealing",
    "UsageInterval": "billing.metering", "Claim": "compute.hosts.placement", "IdempotencyKey": "portal.kernel.rest",
}


def test_operations_holds_claims_usage_and_audit_have_one_writer_each() -> None:
    found = [(name, module_of(path), line) for path in rooms_files() for name, line in created_in(path)
             if name in WRITERS]
    assert {name for name, _module, _line in found} >= {"Operation", "Hold", "AuditEvent", "IdempotencyKey"}
    assert [one for one in found if not one[1].startswith(WRITERS[one[0]])] == []


def test_models_and_migrations_agree() -> None:
    # In a process of its own: other tests plant models here to show the cost of change.
    done = subprocess.run([sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
