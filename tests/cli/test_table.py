"""The program's table against the published schema: whatever the API does, a command does, and the reverse."""
import ast
import re
import sys
from types import ModuleType

import pytest
from drf_spectacular.generators import SchemaGenerator

from tests.cli.conftest import FILE

# What has a command outside of the table, or none, and why.
ELSEWHERE = {("get", "/api/v1/me/"): "mains me", ("get", "/api/v1/search/"): "mains search",
             ("get", "/api/v1/invoices/{}/pdf/"): "mains api GET",
             ("get", "/api/v1/instances/{}/console-log/"): "mains instance console-log"}
# Given by the program itself: a list reads on by itself, and `mains operation wait` waits.
OWN = {"cursor", "limit", "ordering", "wait"}


@pytest.fixture(scope="module")
def schema() -> dict:
    return SchemaGenerator().get_schema(request=None, public=True)


def bare(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def verbs(program: ModuleType) -> list[tuple[str, str, str, str, object]]:
    """Kind, name, method, path and row of every command."""
    return [(kind, name, verb.method.lower(), bare(f"/api/v1/{found.path}/{verb.suffix}"), verb)
            for kind, found in program.RESOURCES.items() for name, verb in found.verbs.items()]


def operations(schema: dict) -> dict[tuple[str, str], dict]:
    return {(method, bare(path)): operation for path, methods in schema["paths"].items()
            for method, operation in methods.items() if "/schema/" not in path}


def body_of(schema: dict, operation: dict) -> tuple[dict, set[str]]:
    """Fields of a body, and the needed ones."""
    if "requestBody" not in operation:
        return {}, set()
    found = operation["requestBody"]["content"]["application/json"]["schema"]
    found = schema["components"]["schemas"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found
    return found.get("properties", {}), set(found.get("required", ()))


def test_every_operation_has_a_command_and_every_command_an_operation(program: ModuleType, schema: dict) -> None:
    commands = {(method, path) for _kind, _name, method, path, _verb in verbs(program)}
    assert len(commands) > 60
    published = set(operations(schema))
    assert published - commands - set(ELSEWHERE) == set(), "no command"
    assert commands - published == set(), "no such operation"
    assert set(ELSEWHERE) <= published


def test_every_field_and_filter_has_its_option(program: ModuleType, schema: dict) -> None:
    known, wrong = operations(schema), []
    for kind, name, method, path, verb in verbs(program):
        if (method, path) not in known:
            continue
        operation, params = known[method, path], program.params_of(verb)
        fields, needed = body_of(schema, operation)
        ours = {field for param in params if not param.place for field in param.field.split(",")}
        if kind in program.QUOTAS:  # the region of each limit
            ours -= {"region"}
        query = {param["name"] for param in operation.get("parameters", []) if param["in"] == "query"} - OWN
        asked = {param.field for param in params if param.place == "?"}
        must = {field for param in params if param.needed or param.fixed for field in param.field.split(",")}
        wrong += [(kind, name, "body", ours ^ set(fields))] if ours != set(fields) else []
        wrong += [(kind, name, "query", asked ^ query)] if asked != query else []
        wrong += [(kind, name, "needed", needed - must)] if needed - must else []
    assert wrong == []


def test_choices_are_the_ones_of_the_schema(program: ModuleType, schema: dict) -> None:
    known, wrong, seen = operations(schema), [], 0
    for kind, name, method, path, verb in verbs(program):
        fields, _needed = body_of(schema, known[method, path]) if (method, path) in known else ({}, set())
        filters = {param["name"]: param["schema"] for param in known.get((method, path), {}).get("parameters", [])}
        for param in program.params_of(verb):
            if "|" not in param.kind:
                continue
            found = filters[param.field] if param.place else fields[param.field]
            reference = found.get("$ref") or (found.get("allOf") or [{}])[0].get("$ref", "")
            found = schema["components"]["schemas"][reference.rpartition("/")[2]] if reference else found
            allowed = ["true", "false"] if found.get("type") == "boolean" else found.get("enum", [])
            seen += 1
            wrong += [(kind, name, param.field, allowed)] if set(param.kind.split("|")) != set(allowed) else []
    assert wrong == [] and seen > 5


def test_every_kind_is_known_and_every_reference_leads_somewhere(program: ModuleType) -> None:
    kinds = {"text", "int", "flag", "off", "tag", "tagged", "file", "key", "time", "ports", "limit", "threshold", "thing"}
    for kind, name, _method, _path, verb in verbs(program):
        for param in program.params_of(verb):
            assert "|" in param.kind or param.kind in kinds | set(program.RESOURCES) | {"vnc"}, (kind, name, param)
        if "{id}" not in verb.suffix:
            assert not verb.of
    assert set(program.REFERS.values()) | set(program.SHORT.values()) <= set(program.RESOURCES)


def test_columns_are_fields_of_the_answers(program: ModuleType, schema: dict) -> None:
    known, wrong = operations(schema), []
    for kind, _name, method, path, verb in verbs(program):
        if not verb.is_paged or (method, path) not in known:
            continue
        page = known[method, path]["responses"]["200"]["content"]["application/json"]["schema"]
        page = schema["components"]["schemas"][page["$ref"].rpartition("/")[2]]
        row = schema["components"]["schemas"][page["properties"]["results"]["items"]["$ref"].rpartition("/")[2]]
        absent = set(program.RESOURCES[kind].columns.split()) - set(row["properties"])
        wrong += [(kind, absent)] if absent else []
    assert wrong == []


def test_it_is_python_3_8_and_the_standard_library_alone() -> None:
    tree = ast.parse(FILE.read_text(), feature_version=(3, 8))
    imported = {name.split(".")[0] for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))
                for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module])}
    assert imported and imported <= set(sys.stdlib_module_names)
    newer = {"removeprefix", "removesuffix", "zip_strict"}  # methods that Python 3.8 does not have
    assert not newer & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_everything_it_says_is_said_in_chinese_too(program: ModuleType) -> None:
    tree = ast.parse(FILE.read_text())
    said = {node.args[0].value for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr" and isinstance(node.args[0], ast.Constant)}
    said |= set(program.HINTS.values()) | {text for _words, text in program.OTHERS.values()}
    said |= {text for _code, text in program.EXIT_CODES} | {text for _name, text in program.ENVIRONMENT}
    assert len(said) > 80
    assert {text for text in said if text not in program.CHINESE} == set()
    for english, chinese in program.CHINESE.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), english
    assert all(name in program.TITLES for found in program.RESOURCES.values() for name in found.verbs)


def test_general_options_are_no_fields(program: ModuleType) -> None:
    """An option that means two things would be refused by the parser: each command's parser can be built."""
    for kind, name, _method, _path, _verb in verbs(program):
        assert program.verb_parser(kind, name).format_help()
    for name in program.OTHERS:
        assert program.other_parser(name).format_help()
