"""Nobody but metering writes usage; nobody but the operators' verb writes prices."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITES = {"create", "bulk_create", "update", "bulk_update", "get_or_create", "update_or_create",
          "delete", "_raw_delete"}
ROOMS = ("portal", "tenants", "billing", "compute", "storage")


def writers(model: str) -> set[str]:
    """Modules that mention the model and call something that writes rows, or make an instance of it."""
    return {str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py")
            if "migrations" not in path.parts and _writes(ast.parse(path.read_text()), model)}


def _writes(tree: ast.Module, model: str) -> bool:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == model:
            return True
        chain = {part.id for part in ast.walk(node.func) if isinstance(part, ast.Name)}
        if isinstance(node.func, ast.Attribute) and node.func.attr in WRITES and model in chain:
            return True
    return False


@pytest.mark.parametrize(("model", "module"), [
    ("UsageInterval", "billing/metering.py"), ("Price", "billing/price_verbs.py"),
    ("Leg", "billing/ledger.py"), ("Payment", "billing/payments.py"),
    ("CreditUse", "billing/closing/months.py"),
])
def test_the_table_has_one_writer(model: str, module: str) -> None:
    assert writers(model) == {module}


@pytest.mark.parametrize("code", ["UsageInterval(meter='x')", "UsageInterval.objects.create()",
                                  "UsageInterval.objects.filter(pk=1).update(quantity=2)"])
def test_this_test_would_see_another_writer(code: str) -> None:
    assert _writes(ast.parse(code), "UsageInterval")
    assert not _writes(ast.parse("UsageInterval.objects.filter(pk=1)"), "UsageInterval")


@pytest.mark.parametrize("module", ["arithmetic", "money", "periods"])
def test_pure_arithmetic_knows_no_django(module: str) -> None:
    tree = ast.parse((ROOT / "billing" / f"{module}.py").read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not [name for name in imported if name.partition(".")[0] in ("django", "portal", "tenants", "billing")]
