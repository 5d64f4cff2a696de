"""The console websocket's rows of the permission matrix: everybody asks for a ticket of our instance, and comes to the socket
with none, with one that nobody was given, with somebody else's and with their own; before and after the organization is
suspended, or requires a second factor. The live websocket: tests/portal/test_socket_principals.py.
"""
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings

from compute.instances.console.models import ConsoleTicket
from compute.instances.models import Instance
from tenants import operations, structure
from tenants.roles import permissions_of
from tests.cast import ROLES, Cast
from tests.console.screen import FakeScreen
from tests.portal.test_more_principals import DEAD, PRINCIPALS, add_principals
from tests.portal.test_sockets import handshake
from tests.world import World

SEE, OPEN = "instance.view", "instance.console"
LET_IN, STRANGER = 200, 401


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever asks: how, and what they are answered."""

    http: Any
    cookie: str = ""
    bearer: str = ""
    answered: int

    def ask(self, instance: Instance) -> Any:
        return self.http.post(f"/api/v1/instances/{instance.pk}/console/", {"type": "vnc"}, format="json")

    def come(self, *tickets: str) -> list[dict]:
        """What the socket answers."""
        shown = tuple(f"ticket.{one}" for one in tickets)
        return handshake("ws/console/", cookie=self.cookie, bearer=self.bearer, subprotocols=("binary", *shown))


def by(held: frozenset[str]) -> int:
    return LET_IN if OPEN in held else 403 if SEE in held else 404


@pytest.fixture
def everybody(world: World) -> dict[str, Caller]:
    """Signed in while all is well."""
    cast = Cast(people=world.people, organization=world.project.organization, project=world.project,
                rival_organization=world.rival_project.organization, rival_project=world.rival_project,
                region=world.region, zone=world.zone)
    add_principals(cast)
    # An operator opens none without an emergency access, which is told (tests/console/test_operators.py).
    people = {"alice": by(permissions_of("owner")), "mallory": 404, "root": 403, "gone": STRANGER,
              **{name: by(permissions_of(role)) for name, role in ROLES.items()},
              **{name: by(one.here) for name, one in PRINCIPALS.items() if not one.by_key}}
    keys = {"narrow key": by(PRINCIPALS["narrow key"].here), "key beside": by(PRINCIPALS["key beside"].here),
            "alice's key": by(permissions_of("owner")), "oscar's narrow key": LET_IN, **dict.fromkeys(DEAD, STRANGER)}
    cast.scenery["alice's key"] = cast.key("alice")
    cast.scenery["oscar's narrow key"] = cast.key("oscar", scopes=[SEE, OPEN], project=cast.project)
    found = {"nobody": Caller(http=cast.api(None), answered=STRANGER)}
    for name, answered in people.items():
        client = cast.api(name)
        found[name] = Caller(http=client, cookie=client.cookies[settings.SESSION_COOKIE_NAME].value, answered=answered)
    for name, answered in keys.items():
        client = cast.scenery[name]
        bearer = client._credentials["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        found[name] = Caller(http=client, bearer=bearer, answered=answered)
    return found


def code_of(answers: list[dict]) -> int:
    """As HTTP would say it."""
    first = answers[0]
    return LET_IN if first["type"] == "websocket.accept" and answers[-1]["type"] != "websocket.close" else (
        answers[-1]["code"] - 4000)


def tickets_of(everybody: dict[str, Caller], instance: Instance) -> dict[str, str]:
    answers = {name: caller.ask(instance) for name, caller in everybody.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == {
        name: caller.answered for name, caller in everybody.items()}
    return {name: answer.json()["ticket"] for name, answer in answers.items() if answer.status_code == 200}


def test_everybody_is_in_it(everybody: dict[str, Caller]) -> None:
    assert PRINCIPALS.keys() | set(DEAD) | ROLES.keys() <= everybody.keys()
    assert {caller.answered for caller in everybody.values()} == {LET_IN, STRANGER, 403, 404}


def test_a_ticket_lets_in_whom_it_was_given_to_and_is_to_all_others_as_if_it_were_none(
        everybody: dict[str, Caller], instance: Instance, screen: FakeScreen) -> None:
    tickets = tickets_of(everybody, instance)
    assert tickets.keys() == {name for name, caller in everybody.items() if caller.answered == LET_IN}
    for name, caller in everybody.items():
        others = next(ticket for whose, ticket in tickets.items() if whose != name)
        refused = [caller.come(), caller.come("x" * 43), caller.come(others)]
        assert len({repr(one) for one in refused}) == 1, f"{name} is told which tickets there are"
        assert code_of(refused[0]) == (STRANGER if caller.answered == STRANGER else 403), name
    assert screen.logins == 0
    for name, ticket in tickets.items():
        assert code_of(everybody[name].come(ticket)) == LET_IN, name
        assert code_of(everybody[name].come(ticket)) == 403, "it was good once"
    assert screen.logins == len(tickets)


def test_a_ticket_of_one_instance_shows_no_other(everybody: dict[str, Caller], instance: Instance, screen: FakeScreen,
                                                 screens: dict[Any, FakeScreen], world: World) -> None:
    """A rival's runs on the same host: whatever is asked for, the socket takes only the ticket."""
    theirs = Instance.objects.create(
        project=world.rival_project, region=world.region, zone=world.zone, host=world.host, name="theirs", type=world.type,
        vcpus=1, memory_mib=256, image=world.image, state="running", observed_state="running", vnc_password="hunter3!")
    screens[theirs.pk] = FakeScreen(theirs.vnc_password)
    try:
        mallorys = everybody["mallory"].ask(theirs).json()["ticket"]
        answers = {name: caller.ask(theirs).status_code for name, caller in everybody.items() if name not in ("mallory", "root")}
        assert set(answers.values()) == {STRANGER, 404}
        for name, ticket in tickets_of(everybody, instance).items():
            assert code_of(everybody[name].come(ticket, mallorys)) == LET_IN, "the first counts"
            assert code_of(everybody[name].come(mallorys, ticket)) == 403
        assert screens[theirs.pk].logins == 0
        assert code_of(everybody["mallory"].come(mallorys)) == LET_IN, "and nobody burnt it"
    finally:
        screens[theirs.pk].close()


def suspend(world: World) -> None:
    structure.suspend_organization(world.project.organization, reason="unpaid", actor=world.people["root"])


def require_two_steps(world: World) -> None:
    operations.change_organization(world.project.organization, requires_mfa=True, actor=world.people["root"])


def deactivate(world: World) -> None:
    for name in ("alice", "adam", "oscar"):
        world.people[name].is_active = False
        world.people[name].save()


@pytest.mark.parametrize(("shut", "answered"), [(suspend, 403), (require_two_steps, 403), (deactivate, STRANGER)])
def test_who_had_a_ticket_is_refused_like_who_asks_for_one_once_it_is_shut(
        everybody: dict[str, Caller], instance: Instance, screen: FakeScreen, world: World, shut: Any, answered: int) -> None:
    tickets = tickets_of(everybody, instance)
    shut(world)
    for name, ticket in tickets.items():
        assert everybody[name].ask(instance).status_code == answered, name
        assert code_of(everybody[name].come(ticket)) == answered, name
    assert screen.logins == 0 and not ConsoleTicket.objects.open().exists()
