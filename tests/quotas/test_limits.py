"""Who sets limits: of a project whoever manages what is above it, of an organization those who run the site."""
import pytest
from django.test import override_settings

from portal.kernel.errors import QuotaExceeded
from portal.kernel.models import AuditEvent
from tenants import limits, operations, quotas, structure
from tenants.limits import Limit, own_lines, set_limits
from tenants.models import Quota
from tests.quotas.conftest import Tree


def test_nobody_sets_their_own(tree: Tree) -> None:
    cast = tree.cast
    may = {"alice": (200, 200, 200), "adam": (403, 200, 200), "tilda": (404, 404, 403), "vera": (403, 403, 403),
           "oscar": (403, 403, 403), "mallory": (404, 404, 404), "root": (200, 200, 200)}
    found = {who: tuple(tree.put(who, scope, {"limit": 5}).status_code for scope in (cast.project, tree.shop, tree.till))
             for who in may}
    assert found == may
    refused = tree.put("tilda", tree.till, {"limit": 100}).json()
    assert refused["code"] == "forbidden" and "till" in refused["detail"] and refused["title"] == "Limits are set from above"


def test_an_organizations_are_the_operators(tree: Tree) -> None:
    organization = tree.cast.organization
    assert [tree.put(who, organization, {"limit": 5}).status_code for who in ("alice", "adam", "mallory", "root")] == [
        404, 404, 404, 200]
    assert limits.limit_of(organization, tree.cast.region, "instances") == 5


def test_usage_of_the_whole_is_seen_by_who_sees_the_whole(tree: Tree) -> None:
    url = f"/api/v1/organizations/{tree.cast.organization.pk}/quotas/"
    assert [tree.cast.api(who).get(url).status_code for who in ("alice", "adam", "vera", "mallory", "root")] == [
        200, 403, 403, 404, 200]
    region, everywhere = tree.cast.api("alice").get(url).json()["results"]
    assert {line["resource"] for line in (*region["lines"], *everywhere["lines"])} == set(quotas.registry.dimensions)


def test_a_key_of_the_project_alone_sets_nothing(tree: Tree) -> None:
    """Its owner manages what is above; the key does not."""
    key = tree.cast.key("alice", project=tree.shop)
    body = {"limits": [{"region": str(tree.cast.region.pk), "resource": "instances", "limit": 50}]}
    assert key.put(f"/api/v1/projects/{tree.shop.pk}/quotas/", body, format="json").status_code == 403


def test_bad_limits_are_named_and_nothing_is_set(tree: Tree) -> None:
    bad = {"limits.1.resource": {"resource": "unicorns", "limit": 1}, "limits.1.region": {"region": None, "limit": 1},
           "limits.1.limit": {}}
    for place, limit in bad.items():
        answer = tree.put("root", tree.shop, {"limit": 3}, limit)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [place])
    answer = tree.put("root", tree.shop, {"resource": "api_keys", "limit": 1})  # with a region
    assert list(answer.json()["errors"]) == ["limits.0.region"]
    assert not Quota.objects.exists()


def test_above_the_parents_and_below_what_is_used_are_taken(tree: Tree) -> None:
    tree.limit(tree.cast.project, 1, "api_keys")
    key = Limit(resource="api_keys", limit=5)
    assert set_limits(tree.shop, [key], actor=tree.cast.alice) == []  # above its parent's: that is asked all the same
    operations.create_api_key(tree.cast.alice, name="one", actor=tree.cast.alice, project=tree.shop)
    with pytest.raises(QuotaExceeded) as refused:
        operations.create_api_key(tree.cast.alice, name="two", actor=tree.cast.alice, project=tree.shop)
    assert refused.value.facts["scope"] == "web" and refused.value.facts["scope_id"] == str(tree.cast.project.pk)
    [over] = set_limits(tree.shop, [Limit(resource="api_keys", limit=0)], actor=tree.cast.alice)
    assert (over.resource, over.used, over.limit) == ("api_keys", 1, 0)


def test_keys_count_until_they_are_revoked(tree: Tree) -> None:
    tree.limit(tree.cast.organization, 1, "api_keys")
    key, _text = operations.create_api_key(tree.cast.alice, name="one", actor=tree.cast.alice, project=tree.till)
    url = "/api/v1/api-keys/"
    answer = tree.cast.api("alice").post(url, {"name": "x", "project": str(tree.shop.pk)}, format="json")
    assert answer.status_code == 409 and (answer.json()["resource"], answer.json()["region"]) == ("api_keys", None)
    operations.revoke_api_key(key, actor=tree.cast.alice)
    assert tree.cast.api("alice").post(url, {"name": "x", "project": str(tree.shop.pk)}, format="json").status_code == 201


@override_settings(PLANS={"standard": {"instances": 4}, "trial": {}})
def test_back_to_what_the_plan_says(tree: Tree) -> None:
    organization, region = tree.cast.organization, tree.cast.region
    assert tree.put("root", organization, {"limit": None}).status_code == 200
    assert limits.limit_of(organization, region, "instances") is None
    assert tree.put("root", organization, {"default": True}).status_code == 200
    [line] = [line for line in own_lines(organization, region) if line.resource == "instances"]
    assert line.limit == 4 and not Quota.objects.exists()


def test_what_changes_is_audited_with_what_was(tree: Tree) -> None:
    tree.put("alice", tree.shop, {"limit": 3}, {"resource": "vcpus", "limit": None})
    tree.put("alice", tree.shop, {"limit": 5}, {"resource": "vcpus", "limit": None})
    tree.put("alice", tree.shop, {"limit": 5})  # nothing new
    rows = AuditEvent.objects.filter(action="project.quotas").order_by("at")
    assert [(row.before, row.after) for row in rows] == [
        ({"lab.instances": "default", "lab.vcpus": "default"}, {"lab.instances": 3, "lab.vcpus": None}),
        ({"lab.instances": 3}, {"lab.instances": 5})]
    assert {row.project_id for row in rows} == {tree.shop.pk}


def test_in_a_suspended_organization_only_operators_set_them(tree: Tree) -> None:
    structure.suspend_organization(tree.cast.organization, reason="unpaid", actor=None)
    answer = tree.put("alice", tree.shop, {"limit": 3})
    assert (answer.status_code, answer.json()["code"]) == (403, "organization_suspended")
    assert tree.put("root", tree.shop, {"limit": 3}).status_code == 200


def test_keys_move_with_their_project_only_where_they_fit(tree: Tree) -> None:
    """What is of no region is asked too when a project moves."""
    other = operations.create_project(tree.cast.organization, "other", actor=None)
    operations.create_api_key(tree.cast.alice, name="one", actor=tree.cast.alice, project=tree.till)
    limit = tree.limit(other, 0, "api_keys")
    with pytest.raises(QuotaExceeded):
        structure.move_project(tree.shop, actor=tree.cast.alice, parent=other)
    limit.limit = 1
    limit.save()
    structure.move_project(tree.shop, actor=tree.cast.alice, parent=other)
