"""Nobody who makes something with a meter forgets to ask whether it can be paid: found in the source, so that a resource of
tomorrow is asked about too."""
import ast
from collections import defaultdict
from dataclasses import dataclass, field

from django.apps import apps

from portal.kernel.models import Resource
from portal.kernel.states import Stateful
from tests.architecture.source import ORDER, module_of, room_of, rooms_files, tree

NEED_NOT = {"portal.management.commands.seed_demo.handle": "the demo's image is public, and free"}
"""Function → why it makes such a thing without asking."""


@dataclass
class Function:
    """One of the source: which metered rows it makes, whom it calls, and whether it asks."""

    name: str
    makes: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    asks: bool = False

    @property
    def room(self) -> int:
        """Whoever calls it is of this room or one to the right: the same name further left is another function."""
        return ORDER.get(room_of(self.name) or "", 0)


def metered() -> set[str]:
    """Names of the resources that something is metered of."""
    return {model.__name__ for model in apps.get_models()
            if issubclass(model, Resource) and issubclass(model, Stateful) and model.readings is not Stateful.readings}


def read(module: ast.Module, name: str, models: set[str]) -> list[Function]:
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            one = Function(name=f"{name}.{node.name}")
            for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
                _note(one, ast.unparse(call.func), models)
            found.append(one)
    return found


def _note(one: Function, called: str, models: set[str]) -> None:
    model, _dot, verb = called.partition(".objects.")
    if verb in ("create", "bulk_create", "get_or_create", "update_or_create") and model.rpartition(".")[2] in models:
        one.makes.add(model.rpartition(".")[2])
    one.asks |= called == "affording.require"
    one.calls.add(called.rpartition(".")[2])


def forgetful(functions: list[Function]) -> set[str]:
    """Those that make something metered, neither ask nor are called only by those that do, and are called by nobody else."""
    callers: dict[str, list[Function]] = defaultdict(list)
    for one in functions:
        for called in one.calls:
            callers[called].append(one)

    def roots(one: Function, seen: frozenset[str]) -> set[str]:
        if one.asks or one.name in seen:
            return set()
        above = [other for other in callers[one.name.rpartition(".")[2]] if other.name != one.name and other.room >= one.room]
        return set().union(*(roots(other, seen | {one.name}) for other in above)) if above else {one.name}

    return set().union(*(roots(one, frozenset()) for one in functions if one.makes))


def source(models: set[str]) -> list[Function]:
    return [one for path in rooms_files() for one in read(tree(path), module_of(path), models)]


def test_whoever_makes_something_with_a_meter_asks_whether_it_can_be_paid() -> None:
    models = metered()
    assert {"Instance", "Volume", "FloatingIp", "Image"} <= models
    functions = source(models)
    assert {"Instance", "Volume", "FloatingIp"} <= {model for one in functions for model in one.makes}
    found = forgetful(functions)
    assert found - NEED_NOT.keys() == set(), "call billing.affording.require in it, or say in NEED_NOT why not"
    assert NEED_NOT.keys() <= found, "no longer so: take it off the list"


def test_the_search_can_fail() -> None:
    """What forgets is found, through whom it makes it too; what asks is not."""
    text = """
def add(row): return Lamp.objects.create(row)
def add_all(rows): Lamp.objects.bulk_create(rows)
def buy(row):
    affording.require(row)
    add(row)
def steal(row): add(row)
def loot(rows): add_all(rows)
def look(row): Lamp.objects.filter(row)
"""
    assert forgetful(read(ast.parse(text), "shop", {"Lamp"})) == {"shop.steal", "shop.loot"}
