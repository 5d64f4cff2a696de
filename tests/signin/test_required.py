"""An organization that requires a second factor: shut to members without one, and to their keys, until they have one."""
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent
from portal.kernel.sockets import _rights_of
from tenants import operations
from tenants.access import Grants
from tenants.models import Connection, Organization, Project, User
from tenants.roles import bind
from tests.cast import Cast
from tests.signin.conftest import add_app, give_password

SET_UP = "/accounts/2fa/"


@pytest.fixture
def strict(cast: Cast) -> Cast:
    """Acme requires it; vera is also a member of Rival, which does not. Alice has an app."""
    add_app(cast.alice)
    bind(cast.vera, "viewer", cast.rival_organization)
    operations.change_organization(cast.organization, requires_mfa=True, actor=cast.alice)
    return cast


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "") if answer.status_code >= 400 else ""


def test_its_pages_lead_to_the_set_up(strict: Cast) -> None:
    vera = strict.browser("vera")
    for path in (f"/projects/{strict.project.pk}/", f"/instances/?project={strict.project.pk}"):
        assert vera.get(path)["Location"] == SET_UP, path
    page = vera.get(SET_UP).content.decode()
    assert "Acme" in page and "Set up an authenticator app" in page
    adam = strict.browser("adam")  # of no other organization
    for path in ("/instances/", "/projects/", "/audit/", "/members/", f"/members/{strict.vera.pk}/"):
        assert adam.get(path)["Location"] == SET_UP, path
    assert adam.get("/instances/", headers={"HX-Request": "true"})["HX-Redirect"] == SET_UP
    for path in ("/", "/profile/", "/docs/", "/profile/sessions/"):
        text = adam.get(path)
        assert text.status_code == 200 and str(strict.project.pk) not in text.content.decode(), path


def test_its_api_says_what_is_missing_and_shows_nothing(strict: Cast) -> None:
    adam, vera = strict.api("adam"), strict.api("vera")
    for path in (f"projects/{strict.project.pk}/", f"organizations/{strict.organization.pk}/", "instances/", "projects/",
                 "audit/", f"projects/{strict.project.pk}/quotas/"):
        assert code(adam.get(f"/api/v1/{path}")) == (403, "mfa_required"), path
    assert code(adam.post("/api/v1/instances/", {})) == (403, "mfa_required")
    assert [one["id"] for one in vera.get("/api/v1/organizations/").json()["results"]] == [str(strict.rival_organization.pk)]
    assert {one["id"] for one in vera.get("/api/v1/projects/").json()["results"]} == {str(strict.rival_project.pk)}
    assert code(vera.get(f"/api/v1/projects/{strict.project.pk}/")) == (403, "mfa_required")
    assert vera.get(f"/api/v1/projects/{strict.rival_project.pk}/").status_code == 200, "others stay open"
    mallory = strict.api("mallory")
    assert code(mallory.get(f"/api/v1/projects/{strict.project.pk}/")) == (404, "not_found"), "nothing is told to strangers"
    assert strict.api("alice").get(f"/api/v1/projects/{strict.project.pk}/").status_code == 200


def test_an_id_of_its_in_a_body_is_absent(strict: Cast) -> None:
    answer = strict.api("vera").post("/api/v1/api-keys/", {"name": "x", "project": str(strict.project.pk)})
    assert answer.status_code in (400, 403, 404) and not strict.vera.api_keys.exists()


@pytest.mark.parametrize("scopes", [[], ["project.view"]])
def test_keys_of_members_without_one_are_refused_too(strict: Cast, scopes: list[str]) -> None:
    vera, alice = strict.key("vera", scopes=scopes), strict.key("alice", scopes=scopes)
    bound = strict.key("adam", project=strict.project)
    path = f"/api/v1/projects/{strict.project.pk}/"
    assert code(vera.get(path)) == code(bound.get(path)) == (403, "mfa_required")
    assert alice.get(path).status_code == vera.get(f"/api/v1/projects/{strict.rival_project.pk}/").status_code == 200
    add_app(strict.vera)
    assert vera.get(path).status_code == 200


def test_websockets_hear_nothing_of_it(strict: Cast) -> None:
    browser = strict.browser("vera")
    assert _rights_of({browser.session.session_key}) == {browser.session.session_key: frozenset({strict.rival_project.pk})}
    add_app(strict.vera)
    assert strict.project.pk in _rights_of({browser.session.session_key})[browser.session.session_key]


def test_a_factor_opens_at_once_and_its_removal_shuts(strict: Cast) -> None:
    adam = strict.api("adam")
    add_app(strict.adam)
    path = f"/api/v1/projects/{strict.project.pk}/"
    assert adam.get(path).status_code == 200
    Authenticator.objects.filter(user=strict.adam, type="totp").update(type="recovery_codes")
    assert code(adam.get(path)) == (403, "mfa_required"), "recovery codes alone are no factor"
    Authenticator.objects.filter(user=strict.adam).delete()
    assert code(adam.get(path)) == (403, "mfa_required")


def test_who_signs_in_is_led_to_the_set_up(strict: Cast, browser: Client) -> None:
    assert give_password(browser, "adam")["Location"] == SET_UP
    other = Client()
    assert give_password(other, "mallory")["Location"] == "/"


def test_nobody_shuts_themselves_out(cast: Cast) -> None:
    alice, path = cast.api("alice"), f"/api/v1/organizations/{cast.organization.pk}/"
    answer = alice.patch(path, {"requires_mfa": True})
    assert answer.status_code == 400 and set(answer.json()["errors"]) == {"requires_mfa"}
    page = cast.browser("alice").post(f"/organization/{cast.organization.pk}/edit/", {"name": "Acme", "requires_mfa": "on"})
    assert page.status_code == 400 and "Set up two-step sign-in for yourself first" in page.content.decode()
    assert not Organization.objects.get(pk=cast.organization.pk).requires_mfa
    add_app(cast.alice)
    assert alice.patch(path, {"requires_mfa": True}).json()["requires_mfa"] is True
    [row] = AuditEvent.objects.filter(action="organization.change", organization=cast.organization)
    assert row.after == {"requires_mfa": True}
    for name in ("adam", "vera"):
        assert cast.api(name).patch(path, {"requires_mfa": False}).status_code == 403
    assert cast.browser("alice").post(f"/organization/{cast.organization.pk}/edit/", {"name": "Acme"}).status_code == 302
    assert not Organization.objects.get(pk=cast.organization.pk).requires_mfa


def test_it_costs_no_statement(strict: Cast) -> None:
    for user in (strict.vera, strict.alice, strict.mallory):
        with CaptureQueriesContext(connection) as asked:
            Grants.of_user(User.objects.get(pk=user.pk))
        assert len(asked) == 2, "the user and their rights"


def test_a_groups_roles_are_shut_like_ones_own(strict: Cast) -> None:
    from tenants import people

    group = people.create_group(strict.organization, "night", actor=strict.alice)
    bind(group.auth_group, "viewer", strict.project)
    strict.mallory.groups.add(group.auth_group)
    assert code(strict.api("mallory").get(f"/api/v1/projects/{strict.project.pk}/")) == (403, "mfa_required")


def grants_of(user: User) -> Grants:
    return Grants.of_user(User.objects.get(pk=user.pk))


def test_a_provider_that_asks_itself_is_enough_for_who_has_no_password(strict: Cast) -> None:
    connection = Connection.objects.create(slug="acme", name="Acme", issuer="https://id.acme.example", client_id="x")
    SocialAccount.objects.create(user=strict.adam, provider=str(connection.pk), uid="1")
    strict.adam.set_unusable_password()
    strict.adam.save()
    assert grants_of(strict.adam).locked, "it is not said to ask"
    Connection.objects.update(proves_mfa=True)
    assert not grants_of(strict.adam).locked
    strict.adam.set_password("a password by mail, say")
    strict.adam.save()
    assert grants_of(strict.adam).locked, "a password alone would be a way around"


def test_everything_visible_is_behind_the_same_door(strict: Cast) -> None:
    """Whatever asks `visible_to` shows a locked member nothing, by introspection."""
    from django.apps import apps

    asked = 0
    adam = User.objects.get(pk=strict.adam.pk)
    for model in apps.get_models():
        rows, kind = model._default_manager.all(), getattr(model, "KIND", None)
        if kind is not None and kind not in registry.kinds:  # no kind of its own, or planted by a test of the architecture
            continue
        fields = {field.name for field in model._meta.get_fields()}
        if hasattr(rows, "visible_to") and fields & {"project", "organization"}:
            asked += 1
            seen = [row for row in rows.visible_to(adam) if getattr(row, "project_id", None) == strict.project.pk
                    or getattr(row, "organization_id", None) == strict.organization.pk]
            assert seen == [], model
    assert asked > 8 and not Project.objects.visible_to(adam) and not Organization.objects.visible_to(adam)


@pytest.mark.parametrize("required", [False, True])
def test_operators_too_where_the_site_says_so(cast: Cast, settings, required: bool) -> None:
    settings.OPERATORS_REQUIRE_MFA = required
    browser, api = cast.browser("root"), cast.api("root")
    found = {path: browser.get(path).status_code for path in ("/admin/", "/hosts/", f"/projects/{cast.project.pk}/")}
    wanted = 302 if required else 200
    assert set(found.values()) == {wanted}, found
    assert api.get("/api/v1/hosts/").status_code == (403 if required else 200)
    if required:
        assert browser.get("/admin/tenants/user/")["Location"] == SET_UP
        assert code(api.get(f"/api/v1/projects/{cast.project.pk}/")) == (403, "mfa_required")
        assert _rights_of({browser.session.session_key}) == {browser.session.session_key: frozenset()}
        add_app(cast.root)
        assert browser.get("/admin/").status_code == browser.get("/hosts/").status_code == 200
