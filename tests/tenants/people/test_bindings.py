"""Giving and taking roles: nobody gives more than they hold, nothing crosses organizations, an owner stays."""
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from portal.kernel.declarations import registry
from portal.kernel.errors import Forbidden, InvalidInput
from portal.kernel.models import AuditEvent
from tenants import people
from tenants.errors import LastOwner
from tenants.models import Binding, OrganizationUserBinding, User
from tenants.roles import bind, permissions_of
from tests.cast import Cast
from tests.tenants.people.conftest import both, fresh

BINDINGS, MEMBERS = "/api/v1/bindings/", "/api/v1/members/"


def binding_of(user: User, role: str) -> Binding:
    return Binding.objects.get(user=user, role=role)


def give(cast: Cast, who: str, **body: Any) -> Any:
    return cast.api(who).post(BINDINGS, {name: str(getattr(value, "pk", value)) for name, value in body.items()}, format="json")


def test_billing_sees_projects_and_money_and_nothing_else(cast: Cast) -> None:
    assert permissions_of("billing") == {"project.view", "usage.view", "invoice.view", "billing.manage", "budget.manage"}
    bill = User.objects.create(username="bill")
    bind(bill, "billing", cast.organization)
    cast.people["bill"] = bill
    api = cast.api("bill")
    assert [row["name"] for row in api.get("/api/v1/projects/").json()["results"]] == ["web"]
    for path in ("usage", "credits", "prices"):
        assert api.get(f"/api/v1/{path}/").status_code == 200
    for path in ("instances", "volumes", "vpcs", "audit", "bindings", "groups", "invitations"):
        answer = api.get(f"/api/v1/{path}/")
        assert answer.status_code == 403 or answer.json()["results"] == [], path
    assert [row["username"] for row in api.get(MEMBERS).json()["results"]] == ["bill"]
    page = cast.browser("bill").get("/").content.decode()
    rail = page.partition("<nav ")[2].partition("</nav>")[0]
    assert f'href="{reverse("billing:usage")}"' in rail and 'id="operations-button"' not in page
    assert all(f'href="{reverse(name)}"' not in rail for name in ("instances:list", "members:list", "operations:list"))


def test_an_administrator_gives_and_takes_a_role(cast: Cast) -> None:
    made = give(cast, "ann", role="operator", user=cast.vera, project=cast.project)
    assert made.status_code == 201 and made.json()["role"] == "operator"
    assert "instance.operate" in fresh(cast.vera).grants.by_project[cast.project.pk]
    assert give(cast, "ann", role="operator", user=cast.vera, project=cast.project).json()["id"] == made.json()["id"]
    assert cast.api("ann").delete(f"{BINDINGS}{made.json()['id']}/").status_code == 204
    assert "instance.operate" not in fresh(cast.vera).grants.by_project[cast.project.pk]
    actions = AuditEvent.objects.filter(project=cast.project, actor=cast.ann).values_list("action", flat=True)
    assert {"member.bind", "member.unbind"} <= set(actions)


@pytest.mark.parametrize("who", ["ann", "adam", "oscar", "vera", "mallory"])
def test_only_an_owner_makes_owners(cast: Cast, who: str) -> None:
    answer = give(cast, who, role="owner", user=cast.people[who], organization=cast.organization)
    assert answer.status_code in (403, 404)
    with pytest.raises((Forbidden, InvalidInput)):
        people.give_role("owner", cast.organization, to=cast.people[who], actor=fresh(cast.people[who]))
    assert list(people.owners(cast.organization)) == [cast.alice]


def test_an_administrator_unmakes_no_owner(cast: Cast) -> None:
    bind(cast.vera, "owner", cast.organization)
    for target in (cast.vera, cast.alice):
        assert cast.api("ann").delete(f"{BINDINGS}{binding_of(target, 'owner').pk}/").status_code == 403
        body = {"organization": str(cast.organization.pk)}
        assert cast.api("ann").post(f"{MEMBERS}{target.pk}/actions/remove/", body, format="json").status_code == 403
    assert people.owners(cast.organization).count() == 2


def test_an_administrator_of_a_project_gives_nothing_beyond_it(cast: Cast) -> None:
    assert give(cast, "adam", role="viewer", user=cast.vera, organization=cast.organization).status_code == 403
    assert give(cast, "adam", role="admin", user=cast.vera, project=cast.project).status_code == 201
    assert cast.api("adam").delete(f"{BINDINGS}{binding_of(cast.ann, 'admin').pk}/").status_code == 403


@pytest.mark.parametrize("who", ["oscar", "vera"])
def test_without_the_right_nothing_is_given(cast: Cast, who: str) -> None:
    assert give(cast, who, role="viewer", user=cast.people[who], project=cast.project).status_code == 403
    assert cast.api(who).delete(f"{BINDINGS}{binding_of(cast.adam, 'admin').pk}/").status_code == 403


def test_a_key_gives_no_more_than_it_may(cast: Cast) -> None:
    key = cast.key("alice", scopes=["member.manage", "member.view", "project.view"])
    body = {"role": "viewer", "user": str(cast.vera.pk), "organization": str(cast.organization.pk)}
    assert key.post(BINDINGS, body, format="json").status_code == 403
    wide = cast.key("alice", scopes=sorted({*permissions_of("viewer"), "member.manage"}))
    assert wide.post(BINDINGS, body, format="json").status_code == 201


def test_a_narrow_key_leaves_nothing(cast: Cast) -> None:
    body = {"organization": str(cast.organization.pk)}
    for key in (cast.key("vera", scopes=["project.view"]), cast.key("vera", project=cast.project)):
        assert key.post("/api/v1/me/actions/leave/", body, format="json").status_code in (403, 404)
    assert people.is_member(cast.vera, cast.organization)
    assert cast.key("vera").post("/api/v1/me/actions/leave/", body, format="json").status_code == 204


def test_somebody_of_another_organization_is_not_bound_without_being_asked(cast: Cast) -> None:
    bind(cast.alice, "owner", cast.rival_organization)  # she sees mallory now
    answer = give(cast, "alice", role="viewer", user=cast.mallory, organization=cast.organization)
    assert answer.status_code == 400 and "user" in answer.json()["errors"]
    assert not people.is_member(cast.mallory, cast.organization)


def test_the_rivals_ids_are_answered_like_random_ones(cast: Cast) -> None:
    ours, theirs = binding_of(cast.alice, "owner"), binding_of(cast.mallory, "owner")
    api = cast.api("alice")
    assert api.delete(f"{BINDINGS}{theirs.pk}/").status_code == api.get(f"{BINDINGS}{theirs.pk}/").status_code == 404
    assert give(cast, "alice", role="viewer", user=cast.mallory, organization=cast.organization).status_code == 404
    assert give(cast, "alice", role="viewer", user=cast.vera, organization=cast.rival_organization).status_code == 404
    assert give(cast, "alice", role="viewer", user=cast.vera, project=cast.rival_project).status_code == 404
    seen = {row["id"] for row in api.get(BINDINGS).json()["results"]}
    assert str(ours.pk) in seen and str(theirs.pk) not in seen


@pytest.mark.parametrize("body", [{}, {"user", "group"}, {"organization", "project"}])
def test_one_who_and_one_where(cast: Cast, body: set[str]) -> None:
    group = people.create_group(cast.organization, "night", actor=cast.alice)
    all_of = {"user": cast.vera, "group": group, "organization": cast.organization, "project": cast.project}
    chosen = {name: all_of[name] for name in {"user", "project"} | set(body)} if body else {}
    assert give(cast, "alice", role="viewer", **chosen).status_code == 400


@pytest.mark.parametrize("role", ["", "emperor", "role_owner", "00000000-0000-0000-0000-000000000000", "x" * 36])
def test_what_is_no_role_is_refused(cast: Cast, role: str) -> None:
    assert give(cast, "alice", role=role, user=cast.vera, project=cast.project).status_code == 400


def test_the_last_owner_stays(cast: Cast) -> None:
    alice = fresh(cast.alice)
    assert cast.api("alice").delete(f"{BINDINGS}{binding_of(alice, 'owner').pk}/").json()["code"] == "last_owner"
    body = {"organization": str(cast.organization.pk)}
    assert cast.api("alice").post("/api/v1/me/actions/leave/", body, format="json").json()["code"] == "last_owner"
    with pytest.raises(LastOwner):
        people.set_active(alice, False, actor=cast.root)
    with pytest.raises(LastOwner):
        people.delete_account(alice)
    assert people.owners(cast.organization).get() == alice


def test_an_owner_who_cannot_sign_in_is_none(cast: Cast) -> None:
    bind(cast.vera, "owner", cast.organization)
    people.set_active(cast.vera, False, actor=cast.root)
    with pytest.raises(LastOwner):
        people.remove_member(cast.alice, cast.organization, actor=fresh(cast.alice))


def test_ownership_is_handed_over(cast: Cast) -> None:
    url, body = f"{MEMBERS}{cast.vera.pk}/actions/make-owner/", {"organization": str(cast.organization.pk)}
    for who in ("ann", "adam", "oscar", "vera"):
        assert cast.api(who).post(url, body, format="json").status_code == 403, who
    assert cast.api("mallory").post(url, body, format="json").status_code == 404
    assert cast.api("alice").post(url, body, format="json").status_code == 204
    assert list(people.owners(cast.organization)) == [cast.vera]
    assert fresh(cast.alice).grants.organization_wide[cast.organization.pk] == permissions_of("admin")


def test_who_may_change_the_organization_makes_nobody_its_owner(cast: Cast) -> None:
    """Not even themselves: they would have everything."""
    deputy = people.create_role(cast.organization, "Deputy", ["organization.manage", "member.view"], actor=fresh(cast.alice))
    people.give_role(str(deputy.pk), cast.organization, to=cast.vera, actor=fresh(cast.alice))
    body = {"organization": str(cast.organization.pk)}
    for who in (cast.vera, cast.oscar):
        assert cast.api("vera").post(f"{MEMBERS}{who.pk}/actions/make-owner/", body, format="json").status_code == 403
    assert list(people.owners(cast.organization)) == [cast.alice]


def test_whoever_leaves_sees_nothing_at_the_next_request(cast: Cast) -> None:
    api, url = cast.api("vera"), f"/api/v1/projects/{cast.project.pk}/"
    assert api.get(url).status_code == 200
    answer = api.post("/api/v1/me/actions/leave/", {"organization": str(cast.organization.pk)}, format="json")
    assert answer.status_code == 204 and api.get(url).status_code == 404


def test_a_removed_member_loses_roles_groups_and_keys(cast: Cast) -> None:
    group = people.create_group(cast.organization, "night", actor=cast.alice)
    people.add_to_group(group, cast.oscar, actor=cast.alice)
    people.give_role("viewer", cast.organization, to=group, actor=cast.alice)
    key, session = cast.key("oscar", project=cast.project), cast.browser("oscar")
    assert key.get("/api/v1/me/").status_code == 200
    people.remove_member(cast.oscar, cast.organization, actor=fresh(cast.ann))
    assert not people.is_member(cast.oscar, cast.organization) and not fresh(cast.oscar).grants.by_project
    assert key.get("/api/v1/me/").status_code == 401
    assert session.get(f"/members/{cast.vera.pk}/").status_code == 404


def leave(cast: Cast, user: User) -> None:
    people.remove_member(user, cast.organization, actor=fresh(user))


def step_down(cast: Cast, user: User) -> None:
    people.take_role(binding_of(user, "owner"), actor=fresh(user))


def lock_out(cast: Cast, user: User) -> None:
    people.set_active(user, False, actor=cast.root)


def be_forgotten(cast: Cast, user: User) -> None:
    people.delete_account(fresh(user))


@pytest.mark.parametrize("how", [leave, step_down, lock_out, be_forgotten])
def test_of_two_owners_who_go_at_once_one_stays(racing: Cast, how: Callable[[Cast, User], None]) -> None:
    for _round in range(3):
        User.objects.filter(pk__in=(racing.alice.pk, racing.ann.pk)).update(is_active=True)
        for name in ("alice", "ann"):
            bind(racing.people[name], "owner", racing.organization)
        answers = both(lambda: how(racing, racing.alice), lambda: how(racing, racing.ann))
        assert sorted(answers) == ["", "last_owner"], answers
        assert people.owners(racing.organization).count() == 1


def test_every_permission_of_a_role_is_declared() -> None:
    assert permissions_of("admin") == permissions_of("owner") - {"organization.manage"}
    assert {"member.view", "member.manage"} <= registry.permissions.keys()


def test_bindings_have_ids_of_their_own(cast: Cast) -> None:
    ids = list(OrganizationUserBinding.objects.values_list("uid", flat=True))
    assert None not in ids and len(set(ids)) == len(ids) == Binding.objects.filter(project=None).count()
