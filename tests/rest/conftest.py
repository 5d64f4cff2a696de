"""Fixtures of the REST tests."""
from typing import Any

import pytest

from tests.cast import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """What the server publishes, made anew, as plain JSON values."""
    import json

    from drf_spectacular.generators import SchemaGenerator

    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


@pytest.fixture(scope="session")
def operations(schema: dict[str, Any]) -> dict[str, str]:
    """operationId → method."""
    return {operation["operationId"]: method for item in schema["paths"].values() for method, operation in item.items()}
