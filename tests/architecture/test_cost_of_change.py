"""The design's own test: a new kind, permission, meter and dimension is a declaration plus one file. Here is that file.

A room that nobody wrote yet is planted: its resource is a plain `Resource` row, its API is one viewset. Everything that
the site derives from declarations (who may, quotas, `me`, roles, key scopes, lists, idempotency, addresses) must know
it without a change anywhere else.
"""
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test import override_settings
from django.urls import include, path
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient

from billing import counters, metering
from billing.forms import meter_choices
from billing.models import Price
from billing.seed import seed_prices
from portal import api_urls
from portal.kernel import declarations
from portal.kernel.declarations import (
    COUNTER,
    EVERYBODY,
    OPERATORS,
    Meter,
    Permission,
    QuotaDimension,
    Reading,
    ResourceKind,
    registry,
)
from portal.kernel.models import AuditEvent, Resource
from portal.kernel.models.resource import ResourceQuerySet
from portal.kernel.rest.serializers import DescribedSerializer, ResourceSerializer, url_of
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from portal.kernel.states import database_now
from tenants.api import VisibleProject
from tenants.quotas import lines, reserve
from tests.cast import Cast, make_cast

KIND = "teapot"


# -- the one file --

class TeapotQuerySet(ResourceQuerySet):
    """Rows of one kind. A real room has a table of its own, which this stands for."""

    def visible_to(self, user: Any, permission: str | None = None) -> "TeapotQuerySet":
        rows, permission = self.live().filter(kind=KIND), permission or "teapot.view"
        return rows if user.grants.sees_everything else rows.filter(project_id__in=user.grants.projects(permission))


class TeapotSerializer(ResourceSerializer):
    class Meta(ResourceSerializer.Meta):
        ref_name = "Teapot"


class CreateTeapotSerializer(DescribedSerializer):
    project = VisibleProject("teapot.create")


class TeapotViewSet(Listed, Fetched, RoomViewSet):
    """Teapots."""

    queryset = TeapotQuerySet(Resource)
    serializer_class = TeapotSerializer
    bodies = {"create": CreateTeapotSerializer}
    answers = {"create": (201, TeapotSerializer)}
    permissions = {"list": "teapot.view", "retrieve": "teapot.view", "create": "teapot.create"}

    def create(self, request: Any) -> Any:
        values = self.read_body()
        region = self.region
        reserve(values["project"], region, {"teapots": 1})
        return self.shown(Resource.objects.create(kind=KIND, region=region, **values), status=201)


DECLARED = (
    Permission(name="teapot.view", label="See teapots", roles=EVERYBODY),
    Permission(name="teapot.create", label="Make teapots", roles=OPERATORS),
    ResourceKind(name=KIND, label="Teapot", label_plural="Teapots", api="teapot-detail", permission="teapot.view"),
    QuotaDimension(name="teapots", label="Teapots", rows=lambda: Resource.objects.live().filter(kind=KIND)),
    Meter(name="teapot", label="Teapot, warm", unit="second", price_unit="hour"),
    Meter(name="teapot.cups", label="Cups", unit="cup", price_unit="cup", kind=COUNTER),
)


# -- what comes by itself --

router = SimpleRouter()
router.register("teapots", TeapotViewSet, basename="teapot")
urlpatterns = [path("api/v1/", include([*router.urls, *api_urls.urlpatterns]))]


@pytest.fixture
def cast(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cast]:
    for name in ("kinds", "permissions", "dimensions", "meters"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    registry.add(*DECLARED)
    cast = make_cast()
    monkeypatch.setattr(TeapotViewSet, "region", cast.region, raising=False)
    with override_settings(ROOT_URLCONF=__name__):
        yield cast


def make(client: APIClient, cast: Cast, **changes: Any) -> Any:
    body = {"project": str(cast.project.pk), "name": "brown betty"} | changes
    return client.post("/api/v1/teapots/", body, format="json")


def test_who_may_follows_from_the_declaration(cast: Cast) -> None:
    answers = {name: make(cast.api(name), cast).status_code for name in (None, "mallory", "vera", "oscar", "alice")}
    assert answers == {None: 401, "mallory": 404, "vera": 403, "oscar": 201, "alice": 201}
    assert len(cast.api("vera").get("/api/v1/teapots/?tag=x").json()["results"]) == 0
    assert len(cast.api("vera").get("/api/v1/teapots/?name=brown%20betty").json()["results"]) == 2
    assert cast.api("mallory").get("/api/v1/teapots/").json()["results"] == []
    assert AuditEvent.objects.get(result="refused").action == "teapot.create"


def test_me_and_the_roles_know_the_permission(cast: Cast) -> None:
    [project] = cast.api("vera").get("/api/v1/me/").json()["projects"]
    assert "teapot.view" in project["permissions"] and "teapot.create" not in project["permissions"]
    roles = {role["name"]: role["permissions"] for role in cast.api("vera").get("/api/v1/roles/").json()["results"]}
    assert "teapot.create" in roles["operator"] and "teapot.create" not in roles["viewer"]


def test_a_key_can_be_scoped_to_it(cast: Cast) -> None:
    assert make(cast.key("alice", scopes=["teapot.create"]), cast).status_code == 201
    assert make(cast.key("alice", scopes=["teapot.view", "project.view"]), cast).status_code == 403
    assert make(cast.key("mallory", scopes=["teapot.create"]), cast).status_code == 404


def test_the_quota_counts_it(cast: Cast) -> None:
    limit = {"limits": [{"region": str(cast.region.pk), "resource": "teapots", "limit": 1}]}
    assert cast.api("root").put(f"/api/v1/projects/{cast.project.pk}/quotas/", limit, format="json").status_code == 200
    assert make(cast.api("oscar"), cast).status_code == 201
    refused = make(cast.api("oscar"), cast)
    assert refused.status_code == 409
    assert (refused.json()["code"], refused.json()["resource"]) == ("quota_exceeded", "teapots")
    [line] = [line for line in lines(cast.project, cast.region) if line.resource == "teapots"]
    assert (line.used, line.limit) == (1, 1)


def test_the_meter_is_priced_billed_and_shown(cast: Cast) -> None:
    book = seed_prices(cast.region, [("teapot", "brown", Decimal("0.36"))])
    assert make(cast.api("oscar"), cast).status_code == 201
    row, an_hour_ago = Resource.objects.get(kind=KIND), database_now() - timedelta(hours=1)
    Price.objects.filter(book=book).update(valid=DateTimeTZRange(an_hour_ago, None))
    metering.settle(row, [Reading(meter="teapot", sku="brown", quantity=Decimal(2))], at=an_hour_ago)
    metering.settle(row, [], at=an_hour_ago + timedelta(minutes=30))
    [found] = cast.api("vera").get("/api/v1/usage/").json()["results"]
    assert (found["meter"], found["unit"], found["quantity"], found["amount"]["amount"]) == ("teapot", "second", "3600", "0.36")
    assert ("teapot", "Teapot, warm (teapot)") in meter_choices()


def test_the_counter_is_sampled_and_added_up(cast: Cast) -> None:
    assert make(cast.api("oscar"), cast).status_code == 201
    row = Resource.objects.get(kind=KIND)
    counters.ingest([counters.Sample(row.pk, "teapot.cups", "brown", 1, row.created_at, 7)], now=row.created_at)
    query, values = counters.usage(start=row.created_at, end=row.created_at + timedelta(hours=1), projects=[cast.project.pk])
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        assert [(meter, quantity) for *_ids, meter, _sku, _hour, quantity in cursor.fetchall()] == [("teapot.cups", 7)]


def test_idempotency_etag_and_address_come_with_the_base(cast: Cast) -> None:
    client = cast.api("oscar")
    body = {"project": str(cast.project.pk), "name": "x", "tags": {"env": "prod"}}
    first, again = (client.post("/api/v1/teapots/", body, format="json", HTTP_IDEMPOTENCY_KEY="k") for _ in range(2))
    assert first.json() == again.json() and first["ETag"]
    row = Resource.objects.get(kind=KIND)
    assert url_of(row) == f"/api/v1/teapots/{row.pk}/"
    assert len(client.get("/api/v1/teapots/?tag=env:prod&search=X").json()["results"]) == 1


def test_declaring_the_same_name_otherwise_is_refused(cast: Cast) -> None:
    with pytest.raises(ValueError, match="twice"):
        registry.add(Permission(name="teapot.view", label="Other", roles=OPERATORS))
    assert declarations.registry is registry and database_now()
