"""The cast: who acts in the tests. One organization with every role, a rival organization, and the operators' root.

    alice   owner of the organization Acme           mallory  owner of the organization Rival
    adam    administrator in Acme's project `web`    root     superuser
    oscar   operator in `web`                        vera     viewer in `web`
"""
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.test import Client
from rest_framework.test import APIClient

from portal.kernel.models import Region, Zone
from tenants import operations
from tenants.models import Organization, Project, User
from tenants.roles import bind

PASSWORD = "correct horse battery"
# Tests of many requests a minute as one person.
UNLIMITED = {"requests": 0, "window_s": 60}
ROLES = {"adam": "admin", "oscar": "operator", "vera": "viewer"}
NAMES = ("alice", "adam", "oscar", "vera", "mallory", "root")


@dataclass
class Cast:
    """People, what they belong to, and where things run."""

    people: dict[str, User]
    organization: Organization
    project: Project
    rival_organization: Organization
    rival_project: Project
    region: Region
    zone: Zone
    scenery: dict[Any, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> User:
        try:
            return self.__dict__["people"][name]
        except KeyError:
            raise AttributeError(name) from None

    def api(self, name: str | None) -> APIClient:
        """A REST client signed in as somebody; None is nobody."""
        client = APIClient(raise_request_exception=False)
        if name is not None:
            client.force_login(self.people[name])
        return client

    def browser(self, name: str | None) -> Client:
        """A browser signed in as somebody; None is nobody."""
        client = Client(raise_request_exception=False)
        if name is not None:
            client.force_login(self.people[name])
        return client

    def key(self, name: str, **options: Any) -> APIClient:
        """A REST client with an API key of somebody's."""
        _key, secret = operations.create_api_key(self.people[name], name="test", actor=self.people[name], **options)
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client


def make_cast() -> Cast:
    """Everybody, with their bindings made by the verbs that the site uses."""
    people = {name: User.objects.create(username=name, email=f"{name}@example.org") for name in NAMES}
    people["root"].is_superuser = people["root"].is_staff = True
    people["root"].save()
    acme = operations.create_organization("Acme", owner=people["alice"], actor=None)
    web = operations.create_project(acme, "web", actor=None)
    for name, role in ROLES.items():
        bind(people[name], role, web)
    rival = operations.create_organization("Rival", owner=people["mallory"], actor=None)
    own = operations.create_project(rival, "own", actor=None)
    region = Region.objects.create(slug="lab", name="Lab")
    zone = Zone.objects.create(region=region, slug="a", name="A")
    return Cast(people=people, organization=acme, project=web, rival_organization=rival, rival_project=own,
                region=region, zone=zone)


def nobody_has() -> str:
    """An id that no row has."""
    return str(uuid.uuid4())
