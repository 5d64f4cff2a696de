"""The published schema: complete, valid, committed, and readable by anybody since it shows no data."""
import difflib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from rest_framework import serializers

from portal import api_urls
from portal.kernel.rest.examples import example_of
from portal.kernel.rest.serializers import VisibleField
from tests.portal.routes import Route, routes

COMMITTED = settings.BASE_DIR / "portal" / "openapi.yaml"
REWRITE = ("python3 compute/lab/setup exec run .venv/bin/python manage.py spectacular --validate --fail-on-warn "
           "--file portal/openapi.yaml")
BODIED = [route for route in routes() if route.is_api and route.action in route.view.bodies]


def operations_of(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(method, operation) for item in schema["paths"].values() for method, operation in item.items()]


def test_the_committed_file_is_what_the_server_publishes(tmp_path: Path) -> None:
    fresh = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(fresh))
    if fresh.read_text() != COMMITTED.read_text():
        changed = difflib.unified_diff(COMMITTED.read_text().splitlines(), fresh.read_text().splitlines(), "committed", "now",
                                       lineterm="")
        pytest.fail("\n".join([f"The API changed. Look at the difference, then: {REWRITE}", *list(changed)[:200]]))


def test_it_is_openapi_3_1(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")


def test_every_route_is_in_it(schema: dict[str, Any]) -> None:
    for prefix in api_urls.ROOMS:
        assert any(path.startswith(f"/api/v1/{prefix}/") for path in schema["paths"]), prefix


def test_every_operation_names_itself_once_and_says_what_it_does_and_how_it_fails(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _method, operation in operations_of(schema)]
    assert len(names) == len(set(names)) > 80
    assert {"instances_create", "instances_actions_start", "projects_quotas_put", "operations_actions_retry"} <= set(names)
    for method, operation in operations_of(schema):
        assert operation["summary"] and operation["description"] and operation["security"], operation["operationId"]
        assert operation["responses"]["401"]["$ref"].endswith("problem_401_not_authenticated")
        if method == "post":
            assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}


def test_every_refusal_says_which_codes_it_may_have(schema: dict[str, Any]) -> None:
    shared = schema["components"]["responses"]
    for name, response in shared.items():
        codes = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
        assert codes and name.startswith("problem_"), name
    create = shared[schema["paths"]["/api/v1/instances/"]["post"]["responses"]["409"]["$ref"].rpartition("/")[2]]
    codes = create["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    assert {"quota_exceeded", "no_capacity", "subnet_full"} <= set(codes)


def contents(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every body and success answer."""
    found = []
    for _method, operation in operations_of(schema):
        for where, part in [("body", operation.get("requestBody", {})), *operation["responses"].items()]:
            if where == "body" or where.startswith("2"):
                found += [(f"{operation['operationId']} {where}", content) for content in part.get("content", {}).values()]
    return found


def test_every_body_and_answer_has_an_example_that_its_schema_accepts(schema: dict[str, Any]) -> None:
    assert len(contents(schema)) > 100
    for name, content in contents(schema):
        assert content.get("examples"), name
        whole = {"$ref": "#/wanted", "wanted": content["schema"], "components": schema["components"]}
        for example in content["examples"].values():
            errors = [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(example["value"])]
            assert errors == [], (name, example["value"])


@pytest.mark.django_db
@pytest.mark.parametrize("route", BODIED, ids=str)
def test_every_example_of_a_body_is_accepted(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VisibleField, "to_internal_value",
                        lambda field, data: serializers.UUIDField().run_validation(data))
    serializer_class = route.view.bodies[route.action]
    body = json.loads(json.dumps(example_of(serializer_class, "request")))
    serializer = serializer_class(data=body)
    assert serializer.is_valid(), (body, serializer.errors)


def test_an_accepted_operation_names_its_place(schema: dict[str, Any]) -> None:
    answer = schema["paths"]["/api/v1/instances/"]["post"]["responses"]["202"]
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Operation")
    assert "Location" in answer["headers"]


def test_the_file_is_read_as_yaml() -> None:
    assert yaml.safe_load(COMMITTED.read_text())["info"]["title"] == "Mains"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["schema/", "schema/?format=json", "docs/"])
def test_anybody_may_read_how_to_talk_to_us(path: str) -> None:
    assert Client().get(f"/api/v1/{path}").status_code == 200
