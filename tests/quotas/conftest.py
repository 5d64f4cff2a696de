"""A tree of three projects in Acme, and who manages which part of it."""
from dataclasses import dataclass
from typing import Any

import pytest

from tenants import operations
from tenants.models import Project, Quota
from tenants.roles import bind
from tests.cast import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@dataclass
class Tree:
    """web → shop → till. adam manages all three (by `web`), tilda only `till`, vera looks at all."""

    cast: Cast
    shop: Project
    till: Project

    def limit(self, scope: Any, limit: int | None, name: str = "instances") -> Quota:
        owner = {"project": scope} if isinstance(scope, Project) else {"organization": scope}
        return Quota.objects.create(**owner, region=None if name == "api_keys" else self.cast.region, dimension=name, limit=limit)

    def put(self, who: str, scope: Any, *limits: dict[str, Any]) -> Any:
        """PUT of limits; each is of the region unless it says otherwise."""
        body = {"limits": [{"region": str(self.cast.region.pk), "resource": "instances", **one} for one in limits]}
        kind = f"{scope._meta.model_name}s"
        return self.cast.api(who).put(f"/api/v1/{kind}/{scope.pk}/quotas/", body, format="json")

    def ask(self, who: str, scope: Any, wanted: int = 9, **changes: Any) -> Any:
        """POST of a request for more instances."""
        body = {scope._meta.model_name: str(scope.pk), "region": str(self.cast.region.pk), "resource": "instances",
                "wanted": wanted, "reason": "The winter sale", **changes}
        return self.cast.api(who).post("/api/v1/quota-requests/", body, format="json")

    def act(self, who: str, pk: str, verb: str, **body: Any) -> Any:
        return self.cast.api(who).post(f"/api/v1/quota-requests/{pk}/actions/{verb}/", body, format="json")


@pytest.fixture
def tree(cast: Cast) -> Tree:
    shop = operations.create_project(cast.organization, "shop", actor=None, parent=cast.project)
    till = operations.create_project(cast.organization, "till", actor=None, parent=shop)
    cast.people["tilda"] = type(cast.alice).objects.create(username="tilda", email="tilda@example.org")
    bind(cast.tilda, "admin", till)
    return Tree(cast, shop, till)
