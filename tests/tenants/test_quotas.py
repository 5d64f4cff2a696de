"""Quotas are summed by one statement, whatever is asked and however deep the project lies."""
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from portal.kernel.models import Resource
from tenants import operations, quotas
from tenants.models import Project, Quota
from tests.cast import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def deep(cast: Cast) -> Project:
    """The lowest of four projects, each with limits of all dimensions."""
    project = cast.project
    for name in ("second", "third", "fourth"):
        project = operations.create_project(cast.organization, name, actor=None, parent=project)
    for place in Project.objects.filter(pk__in=project.ancestor_ids):
        Quota.objects.bulk_create(Quota(project=place, region=cast.region if one.regional else None, dimension=name, limit=5)
                                  for name, one in registry.dimensions.items())
    return project


def test_all_dimensions_at_four_levels_are_two_statements(cast: Cast, deep: Project) -> None:
    with CaptureQueriesContext(connection) as asked:
        found = quotas.lines(deep, cast.region, dict.fromkeys(registry.dimensions, 0))
    assert len(asked) == 2
    assert {(line.scope, line.resource) for line in found} == {
        (place.name, name) for place in Project.objects.filter(pk__in=deep.ancestor_ids) for name in registry.dimensions} | {
        (cast.organization.name, "instance_schedules")}  # which its plan limits


def test_what_is_of_no_region_is_told_apart(cast: Cast, deep: Project) -> None:
    by_region, once = ({line.resource for line in quotas.lines(deep, region)} for region in (cast.region, None))
    assert by_region | once == set(registry.dimensions) and not by_region & once
    assert once == {"api_keys", "instance_schedules", "launch_templates"}
    assert {line.resource for line in quotas.organization_lines(cast.organization, None)} == once


def test_reserving_is_four_statements(cast: Cast, deep: Project) -> None:
    """The lock, where the project stands, limits, sums; and one for each hook of a room that may refuse."""
    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        quotas.reserve(deep, cast.region, dict.fromkeys(registry.dimensions, 1))
    assert len(asked) == 4 + len(registry.taking_hooks)


def test_what_is_used_below_counts_above(cast: Cast, deep: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = registry.dimensions["vpcs"]
    monkeypatch.setitem(registry.dimensions, "vpcs", type(declared)(
        name="vpcs", label="VPCs", rows=lambda: Resource.objects.filter(kind="widget")))
    places = list(Project.objects.filter(pk__in=deep.ancestor_ids).order_by("path"))
    for place in places:
        Resource.objects.create(kind="widget", name="w", project=place, region=cast.region)
    used = {line.scope: line.used for line in quotas.lines(deep, cast.region) if line.resource == "vpcs"}
    assert used == {"web": 4, "second": 3, "third": 2, "fourth": 1}
    with transaction.atomic():
        quotas.reserve(deep, cast.region, {"vpcs": 1})
    with pytest.raises(QuotaExceeded) as refused, transaction.atomic():
        quotas.reserve(deep, cast.region, {"vpcs": 2})
    assert refused.value.facts["scope"] == "web"
