"""Groups and roles of an organization: what they give bites at once, nothing crosses organizations, nobody climbs by them."""
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portal.kernel.errors import Forbidden, InvalidInput
from portal.kernel.models import AuditEvent
from tenants import people
from tenants.access import Grants
from tenants.models import Binding, Group, Role
from tenants.roles import permissions_of
from tests.cast import Cast
from tests.tenants.people.conftest import fresh

GROUPS, ROLES, BINDINGS = "/api/v1/groups/", "/api/v1/roles/", "/api/v1/bindings/"


def post(cast: Cast, who: str, path: str, **body: Any) -> Any:
    return cast.api(who).post(path, body, format="json")


@pytest.fixture
def group(cast: Cast) -> Group:
    return people.create_group(cast.organization, "night shift", actor=fresh(cast.alice))


@pytest.fixture
def role(cast: Cast) -> Role:
    return people.create_role(cast.organization, "Backup", ["project.view", "volume.view"], actor=fresh(cast.alice))


@pytest.fixture
def rival_group(cast: Cast) -> Group:
    return people.create_group(cast.rival_organization, "theirs", actor=fresh(cast.mallory))


@pytest.fixture
def rival_role(cast: Cast) -> Role:
    return people.create_role(cast.rival_organization, "Theirs", ["instance.delete"], actor=fresh(cast.mallory))


def test_a_group_gives_its_members_what_it_is_bound_to(cast: Cast) -> None:
    made = post(cast, "ann", GROUPS, name="night", organization=str(cast.organization.pk))
    assert made.status_code == 201
    url = f"{GROUPS}{made.json()['id']}/"
    assert post(cast, "ann", f"{url}actions/add/", user=str(cast.vera.pk)).status_code == 204
    bound = post(cast, "ann", BINDINGS, role="operator", group=made.json()["id"], project=str(cast.project.pk))
    assert bound.status_code == 201 and bound.json()["user"] is None
    assert "instance.operate" in fresh(cast.vera).grants.by_project[cast.project.pk]
    assert [row["username"] for row in cast.api("vera").get(f"{url}members/").json()["results"]] == ["vera"]
    assert post(cast, "ann", f"{url}actions/remove/", user=str(cast.vera.pk)).status_code == 204
    assert "instance.operate" not in fresh(cast.vera).grants.by_project[cast.project.pk]
    assert cast.api("ann").patch(url, {"name": "day"}, format="json").json()["name"] == "day"
    assert cast.api("ann").delete(url).status_code == 204
    assert not Binding.objects.filter(role="operator", project=cast.project).exclude(user=cast.oscar).exists()
    actions = set(AuditEvent.objects.filter(organization=cast.organization).values_list("action", flat=True))
    assert {"group.create", "group.add", "group.remove", "group.change", "group.delete"} <= actions


def test_a_group_is_of_one_organization(cast: Cast, group: Group, rival_group: Group) -> None:
    for method, path in (("get", ""), ("get", "members/"), ("delete", ""), ("patch", "")):
        assert getattr(cast.api("alice"), method)(f"{GROUPS}{rival_group.pk}/{path}").status_code == 404
    body = {"role": "viewer", "group": str(rival_group.pk), "project": str(cast.project.pk)}
    assert post(cast, "alice", BINDINGS, **body).status_code == 404
    assert post(cast, "alice", f"{GROUPS}{group.pk}/actions/add/", user=str(cast.mallory.pk)).status_code == 404
    with pytest.raises(InvalidInput):
        people.give_role("viewer", cast.project, to=rival_group, actor=fresh(cast.root))
    with pytest.raises(InvalidInput):
        people.add_to_group(group, cast.mallory, actor=fresh(cast.alice))
    assert [row["id"] for row in cast.api("alice").get(GROUPS).json()["results"]] == [str(group.pk)]


def test_names_are_told_apart_within_an_organization_alone(cast: Cast, group: Group) -> None:
    again = post(cast, "alice", GROUPS, name=group.name, organization=str(cast.organization.pk))
    assert again.status_code == 400 and "name" in again.json()["errors"]
    assert post(cast, "mallory", GROUPS, name=group.name, organization=str(cast.rival_organization.pk)).status_code == 201


def test_nobody_climbs_by_joining_a_group(cast: Cast, group: Group) -> None:
    """The group is bound to what the owner alone holds; an administrator cannot join it, nor tear it down."""
    strong = people.create_role(cast.organization, "Deputy", ["organization.manage"], actor=fresh(cast.alice))
    people.give_role(str(strong.pk), cast.organization, to=group, actor=fresh(cast.alice))
    url = f"{GROUPS}{group.pk}/"
    assert post(cast, "ann", f"{url}actions/add/", user=str(cast.ann.pk)).status_code == 403
    assert cast.api("ann").delete(url).status_code == 403
    assert post(cast, "alice", f"{url}actions/add/", user=str(cast.vera.pk)).status_code == 204
    assert post(cast, "ann", f"{url}actions/remove/", user=str(cast.vera.pk)).status_code == 403
    assert cast.api("ann").delete(f"{BINDINGS}{Binding.objects.get(group=group).pk}/").status_code == 403


def test_a_group_owns_nothing(cast: Cast, group: Group) -> None:
    answer = post(cast, "alice", BINDINGS, role="owner", group=str(group.pk), organization=str(cast.organization.pk))
    assert answer.status_code == 400 and "role" in answer.json()["errors"]


@pytest.mark.parametrize("who", ["adam", "oscar", "vera"])
def test_groups_and_roles_are_for_those_who_manage_the_whole_organization(cast: Cast, group: Group, role: Role, who: str) -> None:
    organization = str(cast.organization.pk)
    assert post(cast, who, GROUPS, name="mine", organization=organization).status_code == 403
    assert post(cast, who, ROLES, name="mine", organization=organization, permissions=["instance.view"]).status_code == 403
    assert post(cast, who, f"{GROUPS}{group.pk}/actions/add/", user=str(cast.people[who].pk)).status_code == 403
    for path in (f"{GROUPS}{group.pk}/", f"{ROLES}{role.pk}/"):
        assert cast.api(who).patch(path, {"name": "x"}, format="json").status_code == 403
        assert cast.api(who).delete(path).status_code == 403


def test_a_role_of_its_own_holds_what_it_says_and_changes_at_once(cast: Cast) -> None:
    made = post(cast, "ann", ROLES, name="Backup", organization=str(cast.organization.pk), permissions=["volume.view"])
    assert made.status_code == 201 and made.json()["label"] == "Backup"
    name, url = made.json()["name"], f"{ROLES}{made.json()['id']}/"
    body = {"role": name, "user": str(cast.vera.pk), "organization": str(cast.organization.pk)}
    assert post(cast, "ann", BINDINGS, **body).status_code == 201
    assert fresh(cast.vera).grants.organization_wide == {cast.organization.pk: frozenset({"volume.view"})}
    assert cast.api("ann").patch(url, {"permissions": ["audit.view", "instance.delete"]}, format="json").status_code == 200
    assert fresh(cast.vera).grants.organization_wide == {cast.organization.pk: frozenset({"audit.view", "instance.delete"})}
    assert "instance.delete" in fresh(cast.vera).grants.by_project[cast.project.pk]
    assert [row["label"] for row in cast.api("vera").get(ROLES).json()["results"]][-1] == "Backup"
    assert cast.api("ann").delete(url).status_code == 204
    assert fresh(cast.vera).grants.organization_wide == {}
    actions = set(AuditEvent.objects.filter(organization=cast.organization).values_list("action", flat=True))
    assert {"role.create", "role.change", "role.delete"} <= actions


def test_a_role_holds_nothing_that_its_maker_does_not(cast: Cast, role: Role) -> None:
    organization = str(cast.organization.pk)
    wide = post(cast, "ann", ROLES, name="King", organization=organization, permissions=["organization.manage"])
    assert wide.status_code == 403 and not Role.objects.filter(name="King").exists()
    assert cast.api("ann").patch(f"{ROLES}{role.pk}/", {"permissions": ["organization.manage"]}, format="json").status_code == 403
    role.refresh_from_db()
    assert role.permissions == ["project.view", "volume.view"]
    key = cast.key("alice", scopes=["member.manage", "member.view", "instance.view"])
    body = {"name": "K", "organization": organization, "permissions": ["instance.delete"]}
    assert key.post(ROLES, body, format="json").status_code == 403


def test_an_owners_role_is_not_weakened_or_given_by_an_administrator(cast: Cast) -> None:
    strong = people.create_role(cast.organization, "Deputy", ["organization.manage", "member.manage"], actor=fresh(cast.alice))
    assert cast.api("ann").patch(f"{ROLES}{strong.pk}/", {"permissions": ["volume.view"]}, format="json").status_code == 403
    assert cast.api("ann").delete(f"{ROLES}{strong.pk}/").status_code == 403
    with pytest.raises(Forbidden):
        people.give_role(str(strong.pk), cast.organization, to=cast.ann, actor=fresh(cast.ann))


def test_a_role_is_of_one_organization(cast: Cast, rival_role: Role) -> None:
    for method in ("get", "patch", "delete"):
        assert getattr(cast.api("alice"), method)(f"{ROLES}{rival_role.pk}/").status_code == 404
    assert str(rival_role.pk) not in cast.api("alice").get(ROLES).content.decode()
    body = {"role": str(rival_role.pk), "user": str(cast.vera.pk), "project": str(cast.project.pk)}
    absent = post(cast, "alice", BINDINGS, **body | {"role": "00000000-0000-0000-0000-000000000001"})
    hidden = post(cast, "alice", BINDINGS, **body)
    assert hidden.status_code == absent.status_code == 400 and hidden.json()["errors"] == absent.json()["errors"]


@pytest.mark.parametrize("permissions", [[], ["fly"], ["instance.view", "role_owner"], [""]])
def test_unknown_permissions_are_refused(cast: Cast, permissions: list[str]) -> None:
    answer = post(cast, "alice", ROLES, name="x", organization=str(cast.organization.pk), permissions=permissions)
    assert answer.status_code == 400 and not Role.objects.exists()


def test_rights_take_one_statement_however_many_roles_and_groups(cast: Cast, group: Group, role: Role) -> None:
    for number in range(5):
        own = people.create_role(cast.organization, f"r{number}", ["volume.view"], actor=fresh(cast.alice))
        people.give_role(str(own.pk), cast.project, to=cast.vera, actor=fresh(cast.alice))
    people.add_to_group(group, cast.vera, actor=fresh(cast.alice))
    people.give_role(str(role.pk), cast.organization, to=group, actor=fresh(cast.alice))
    vera = fresh(cast.vera)
    with CaptureQueriesContext(connection) as asked:
        grants = Grants.of_user(vera)
    assert len(asked) == 1 and grants.by_project[cast.project.pk] == permissions_of("viewer") | set(role.permissions)


# -- pages --

def test_pages_make_fill_bind_and_delete_a_group(cast: Cast) -> None:
    browser = cast.browser("ann")
    answer = browser.post("/groups/create/", {"name": "night", "organization": str(cast.organization.pk)})
    group = Group.objects.get()
    here = f"/groups/{group.pk}/"
    assert answer["Location"] == here and browser.get(here).status_code == 200
    assert browser.post(f"{here}add/", {"user": str(cast.vera.pk)}).status_code == 302
    assert browser.post(f"{here}bind/", {"role": "operator", "scope": f"project:{cast.project.pk}"}).status_code == 302
    text = browser.get(here).content.decode()
    assert "vera" in text and "Operator" in text
    assert "night" in browser.get("/groups/").content.decode() and "night" in browser.get("/members/").content.decode()
    assert browser.post(f"{here}rename/", {"name": "day"}).status_code == 302
    assert browser.post(f"{here}drop/", {"user": str(cast.vera.pk)}).status_code == 302
    assert browser.post(f"{here}delete/", {"confirmed": "1"}).status_code == 302 and not Group.objects.exists()


def test_pages_make_change_and_delete_a_role(cast: Cast) -> None:
    browser = cast.browser("ann")
    form = {"name": "Backup", "organization": str(cast.organization.pk), "permissions": ["volume.view"]}
    assert browser.get("/roles/create/").status_code == 200
    assert browser.post("/roles/create/", form).status_code == 302
    made = Role.objects.get()
    assert "Backup" in browser.get("/roles/").content.decode()
    assert browser.get(f"/roles/{made.pk}/edit/").status_code == 200
    assert browser.post(f"/roles/{made.pk}/edit/", {"name": "Backups", "permissions": ["image.view"]}).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.permissions) == ("Backups", ["image.view"])
    assert browser.post("/roles/create/", form | {"permissions": ["organization.manage"]}).status_code == 403
    assert browser.post(f"/roles/{made.pk}/delete/", {"confirmed": "1"}).status_code == 302 and not Role.objects.exists()
    reader = cast.browser("vera").get("/roles/").content.decode()
    assert "Create role" not in reader
