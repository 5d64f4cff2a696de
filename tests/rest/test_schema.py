"""The published schema: complete, valid, and readable by anybody since it shows no data."""
from io import StringIO

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from portal import api_urls


@pytest.fixture(scope="module")
def schema() -> dict:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def test_it_is_openapi_3_1_without_a_warning(schema: dict) -> None:
    assert schema["openapi"].startswith("3.1")


def test_every_route_is_in_it(schema: dict) -> None:
    for prefix in api_urls.ROOMS:
        assert f"/api/v1/{prefix}/" in schema["paths"]


def test_every_operation_names_itself_once_and_says_how_it_fails(schema: dict) -> None:
    names = []
    for operations in schema["paths"].values():
        for method, operation in operations.items():
            names.append(operation["operationId"])
            assert "application/problem+json" in operation["responses"]["401"]["content"], names[-1]
            if method == "post":
                assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}
    assert len(names) == len(set(names)) > 30
    assert {"instances_create", "instances_actions_start", "projects_quotas_put"} <= set(names)


def test_an_accepted_operation_names_its_place(schema: dict) -> None:
    answer = schema["paths"]["/api/v1/instances/"]["post"]["responses"]["202"]
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Operation")
    assert "Location" in answer["headers"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["schema/", "schema/?format=json", "docs/"])
def test_anybody_may_read_how_to_talk_to_us(path: str) -> None:
    assert Client().get(f"/api/v1/{path}").status_code == 200
