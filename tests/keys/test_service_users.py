"""Service users: programs' identities that outlast people, hold no more than who handles them could give, and never sign in."""
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from portal.kernel.models import AuditEvent
from tenants import expiry, operations, people, service_users
from tenants.models import ApiKey, Binding, ServiceUser, User
from tenants.roles import bind
from tenants.structure import delete_project
from tests.cast import PASSWORD, Cast

URL, KEYS, ME = "/api/v1/service-users/", "/api/v1/api-keys/", "/api/v1/me/"


@pytest.fixture
def service(cast: Cast) -> ServiceUser:
    return service_users.create(cast.project, "deploy", actor=cast.adam)


def key_of(cast: Cast, service: ServiceUser, who: str = "alice", **further) -> APIClient:
    answer = cast.api(who).post(KEYS, {"name": "ci", "service_user": str(service.pk), **further}, format="json")
    assert answer.status_code == 201, answer.content
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['secret']}")
    return client


def test_its_whole_life_by_rest(cast: Cast) -> None:
    adam = cast.api("adam")
    made = adam.post(URL, {"project": str(cast.project.pk), "name": "deploy"}, format="json").json()
    assert made["is_active"] and made["username"].startswith("service-deploy-")
    pk = made["id"]
    program = key_of(cast, ServiceUser.objects.get(pk=pk), "adam")
    assert program.get(ME).json()["projects"] == [], "without a role it may nothing"
    bound = adam.post("/api/v1/bindings/", {"role": "viewer", "user": pk, "project": str(cast.project.pk)}, format="json")
    assert bound.status_code == 201
    assert [one["name"] for one in program.get(ME).json()["projects"]] == ["web"]
    assert adam.patch(f"{URL}{pk}/", {"name": "deployer"}, format="json").json()["name"] == "deployer"
    assert adam.post(f"{URL}{pk}/actions/deactivate/").json()["is_active"] is False
    assert program.get(ME).status_code == 401
    assert adam.post(f"{URL}{pk}/actions/activate/").json()["is_active"] is True
    assert program.get(ME).status_code == 200
    assert adam.delete(f"{URL}{pk}/").status_code == 204
    assert program.get(ME).status_code == 401 and adam.get(f"{URL}{pk}/").status_code == 404
    assert not Binding.objects.filter(user=pk) and not ApiKey.objects.usable().filter(owner=pk)


def test_the_trail_names_it_as_the_actor(cast: Cast, service: ServiceUser) -> None:
    bind(service.user, "admin", cast.project)
    program = key_of(cast, service)
    assert program.patch(f"/api/v1/projects/{cast.project.pk}/", {"description": "new"}, format="json").status_code == 200
    row = AuditEvent.objects.get(action="project.change")
    assert (row.actor_id, row.on_behalf_of, row.api_key) == (service.pk, None, ApiKey.objects.get(owner=service.pk).pk)


def test_what_happens_to_its_keys_is_in_its_organizations_trail(cast: Cast, service: ServiceUser) -> None:
    key, text = operations.create_api_key(service.user, name="ci", actor=cast.adam, networks=["198.18.0.0/24"])
    stranger = APIClient(raise_request_exception=False, HTTP_AUTHORIZATION=f"Bearer {text}")
    assert stranger.get(ME).status_code in (401, 403)
    key, _text = operations.rotate_api_key(key, actor=cast.adam, overlap=timedelta(hours=1))
    operations.end_previous_secret(key, actor=cast.adam)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() + timedelta(days=2),
                                            created_at=timezone.now() - timedelta(days=30))
    assert expiry.tell() == 1
    operations.revoke_api_key(key, actor=cast.adam)
    operations.create_api_key(service.user, name="another", actor=cast.adam)
    service_users.delete(service, actor=cast.adam)  # which revokes that one
    acts = sorted(row.action for row in AuditEvent.objects.filter(target_type="apikey", project=cast.project,
                                                                  organization_id=cast.organization.pk))
    assert acts == sorted(f"apikey.{act}" for act in ("create", "use", "rotate", "end_previous", "expiring", "revoke", "create",
                                                      "revoke"))
    assert AuditEvent.objects.filter(target_type="apikey").count() == len(acts)
    seen = {who: [row["action"] for row in cast.api(who).get("/api/v1/audit/").json()["results"] if row["action"] in acts]
            for who in ("alice", "mallory")}
    assert (sorted(seen["alice"]), seen["mallory"]) == (acts, [])


def test_a_persons_key_for_all_projects_is_in_no_organizations_trail(cast: Cast) -> None:
    operations.create_api_key(cast.alice, name="mine", actor=cast.alice)
    row = AuditEvent.objects.get(action="apikey.create")
    assert (row.project, row.organization_id) == (None, None)


def test_it_cannot_sign_in_by_any_way(cast: Cast, service: ServiceUser) -> None:
    user = service.user
    assert not user.has_usable_password() and user.email == ""
    client = Client()
    for word in ("", "!", user.password, PASSWORD):
        client.post("/accounts/login/", {"login": user.username, "password": word})
    assert "_auth_user_id" not in client.session
    for change in ({"email": "x@example.org"}, {"is_superuser": True}, {"is_staff": True}, {"password": "argon2$x"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=user.pk).update(**change)


def test_who_made_it_may_leave(cast: Cast, service: ServiceUser) -> None:
    bind(service.user, "viewer", cast.project)
    program = key_of(cast, service, "adam")
    people.remove_member(cast.adam, cast.organization, actor=cast.alice)
    User.objects.filter(pk=cast.adam.pk).update(is_active=False)
    assert [one["name"] for one in program.get(ME).json()["projects"]] == ["web"]


def test_nobody_becomes_more_through_it(cast: Cast, service: ServiceUser) -> None:
    """Adam manages the members of one project; the owner gave the program the whole organization."""
    people.give_role("admin", cast.organization, to=service.user, actor=cast.alice)
    adam = cast.api("adam")
    assert adam.post(KEYS, {"name": "x", "service_user": str(service.pk)}, format="json").status_code == 403
    own = key_of(cast, service, "alice")
    pk = own.get(ME).json()["api_key"]["id"]
    assert adam.post(f"{KEYS}{pk}/actions/rotate/", {}, format="json").status_code == 403
    service_users.deactivate(service, actor=cast.adam)
    assert adam.post(f"{URL}{service.pk}/actions/activate/").status_code == 403
    assert cast.api("alice").post(f"{URL}{service.pk}/actions/activate/").status_code == 200
    assert adam.delete(f"{KEYS}{pk}/").status_code == 204, "whoever manages members may stop it"
    assert own.get(ME).status_code == 401


def test_nor_through_a_group_that_it_is_in(cast: Cast, service: ServiceUser) -> None:
    group = people.create_group(cast.organization, "all", actor=cast.alice)
    people.give_role("admin", cast.organization, to=group, actor=cast.alice)
    people.add_to_group(group, service.user, actor=cast.alice)
    assert cast.api("adam").post(KEYS, {"name": "x", "service_user": str(service.pk)}, format="json").status_code == 403
    assert len(key_of(cast, service, "alice").get(ME).json()["projects"]) == 1


def test_it_gives_nobody_more_than_it_holds_and_its_key_makes_no_wider_one(cast: Cast, service: ServiceUser) -> None:
    bind(service.user, "viewer", cast.project)
    program = key_of(cast, service)
    body = {"role": "admin", "user": str(cast.vera.pk), "project": str(cast.project.pk)}
    assert program.post("/api/v1/bindings/", body, format="json").status_code == 403
    narrow = key_of(cast, service, scopes=["project.view"])
    assert narrow.post(KEYS, {"name": "x"}, format="json").status_code == 403
    assert narrow.post(KEYS, {"name": "x", "scopes": ["project.view"]}, format="json").json()["owner"] == str(service.pk)


@pytest.mark.parametrize("who", ["vera", "oscar", "mallory"])
def test_others_neither_make_nor_see_its_keys(cast: Cast, service: ServiceUser, who: str) -> None:
    pk = key_of(cast, service).get(ME).json()["api_key"]["id"]
    client = cast.api(who)
    assert client.get(f"{KEYS}{pk}/").status_code == 404 and client.delete(f"{KEYS}{pk}/").status_code == 404
    assert client.post(KEYS, {"name": "x", "service_user": str(service.pk)}, format="json").status_code in (403, 404)
    assert str(pk) not in client.get(KEYS).content.decode()
    assert client.get(f"{URL}{service.pk}/").status_code == (404 if who == "mallory" else 200)


def test_it_owns_nothing_and_stays_in_its_organization(cast: Cast, service: ServiceUser) -> None:
    alice, mallory = cast.api("alice"), cast.api("mallory")
    organization = str(cast.organization.pk)
    wish = {"role": "owner", "user": str(service.pk), "organization": organization}
    owner = alice.post("/api/v1/bindings/", wish, format="json")
    assert owner.status_code == 400
    assert alice.post(f"/api/v1/members/{service.pk}/actions/make-owner/", {"organization": organization},
                      format="json").status_code == 404
    bind(cast.alice, "owner", cast.rival_organization)
    elsewhere = cast.api("alice").post("/api/v1/bindings/", {"role": "viewer", "user": str(service.pk), "project": str(
        cast.rival_project.pk)}, format="json")
    assert elsewhere.status_code == 400 and list(elsewhere.json()["errors"]) == ["user"]
    assert mallory.post(URL, {"project": str(cast.project.pk), "name": "x"}, format="json").status_code == 404
    assert str(service.pk) not in alice.get("/api/v1/members/").content.decode(), "it is no member"


def test_an_owner_who_is_a_program_would_be_none(cast: Cast, service: ServiceUser) -> None:
    bind(service.user, "owner", cast.organization)
    assert list(people.owners(cast.organization)) == [cast.alice]


def test_names_are_once_in_a_project_and_free_again_after_deletion(cast: Cast, service: ServiceUser) -> None:
    alice = cast.api("alice")
    body = {"project": str(cast.project.pk), "name": "Deploy"}
    twice = alice.post(URL, body, format="json")
    assert twice.status_code == 400 and list(twice.json()["errors"]) == ["name"]
    service_users.delete(service, actor=cast.alice)
    assert alice.post(URL, body, format="json").status_code == 201


def test_it_goes_with_its_project(cast: Cast) -> None:
    project = operations.create_project(cast.organization, "brief", actor=None)
    service = service_users.create(project, "x", actor=cast.alice)
    program = key_of(cast, service)
    delete_project(project, actor=cast.alice)
    service.refresh_from_db()
    assert service.deleted_at is not None and program.get(ME).status_code == 401
