"""Who has a console open, ending it for them, how many may be open, and links to look."""
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db.models import F
from django.utils import timezone
from websockets.sync.client import ClientConnection

from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.models import Instance
from portal.kernel.models import AuditEvent
from tenants.operations import revoke_api_key
from tenants.roles import bind, unbind
from tests.console.conftest import Person, close_code, enter, entered
from tests.console.test_tickets import refusal

KEY = b"\x04\x01\x00\x00\x00\x00\x00a"
UPDATE = b"\x03\x00\x00\x00\x00\x00\x04\x00\x03\x00"
LIMIT_S = 5


def send(person: Person, instance: Instance, path: str, method: str = "post", **body: object):
    answer = getattr(person.http, method)(f"/api/v1/instances/{instance.pk}/{path}/", data=body or None,
                                          content_type="application/json", headers={"host": person.site} | person.headers)
    return answer


def link_of(person: Person, instance: Instance, minutes: int = 5) -> str:
    answer = send(person, instance, "console-links", minutes=minutes)
    assert answer.status_code == 201, answer.content
    return answer.json()["link"]


@contextmanager
def looking(person: Person, instance: Instance, link: str) -> Iterator[ClientConnection]:
    answer = person.http.post(f"/instances/{instance.pk}/console-view/", {"link": link}, headers={"host": person.site})
    assert answer.status_code == 200, answer.content
    with person.open(answer.json()["ticket"]) as socket:
        enter(socket)
        yield socket


def seconds_until_closed(socket: ClientConnection, code: int) -> float:
    started = time.monotonic()
    assert close_code(socket, 2 * LIMIT_S) == code
    return time.monotonic() - started


def test_everybody_with_the_right_sees_who_has_it_open(person, instance, screen):
    oscar, adam = person("oscar", key=True), person("adam", key=True)
    with entered(person("oscar"), instance):
        [row] = send(adam, instance, "console-sessions", "get").json()["results"]
        assert (row["user"], row["address"], row["is_view_only"]) == ("oscar", "127.0.0.1", False)
        page = person("adam").http.get(f"/instances/{instance.pk}/console-sessions/").content.decode()
        assert "oscar" in page and "127.0.0.1" in page
    assert send(person("vera", key=True), instance, "console-sessions", "get").status_code == 403
    assert send(person("mallory", key=True), instance, "console-sessions", "get").status_code == 404
    ConsoleTicket.objects.update(closed_at=None, seen_at=timezone.now() - timedelta(minutes=1))
    assert send(oscar, instance, "console-sessions", "get").json()["results"] == [], "its process was killed"
    ConsoleTicket.objects.update(closed_at=timezone.now())


def test_whoever_may_operate_ends_a_session_within_seconds_and_it_is_audited(person, instance, screen, world):
    adam = person("adam", key=True)
    with entered(person("oscar"), instance) as socket:
        session = str(ConsoleTicket.objects.open().get().pk)
        assert send(person("vera", key=True), instance, "console-sessions/end", session=session).status_code == 403
        assert send(adam, instance, "console-sessions/end", session=session).status_code == 204
        page = person("adam").http.get(f"/instances/{instance.pk}/console-sessions/").content.decode()
        assert "Nobody has this console open." in page, "ended counts as gone"
        assert seconds_until_closed(socket, 4410) <= LIMIT_S
    assert send(adam, instance, "console-sessions/end", session=session).status_code == 204, "again is success"
    event = AuditEvent.objects.get(action="console.end")
    assert (event.actor, event.after["user"]) == (world.people["adam"], "oscar")


@pytest.mark.parametrize(("state", "is_offered"), [("running", True), ("paused", False), ("stopped", False)])
def test_a_link_is_offered_where_there_is_a_screen(person, instance, state, is_offered):
    Instance.objects.update(state=state)
    page = person("oscar").http.get(f"/instances/{instance.pk}/console-sessions/").content.decode()
    assert (f'href="/instances/{instance.pk}/console-links/"' in page) is is_offered
    assert ("It is not running: there is no screen to see." in page) is not is_offered


def test_a_session_of_another_instance_is_not_found(person, instance, screen, world):
    other = Instance.objects.create(
        project=world.project, region=world.region, zone=world.zone, host=world.host, name="db", type=world.type,
        vcpus=1, memory_mib=256, image=world.image, state="running", observed_state="running", vnc_password="hunter2!")
    link_of(person("oscar", key=True), instance)
    with entered(person("oscar"), instance) as socket:
        session, adam = str(ConsoleTicket.objects.open().get().pk), person("adam", key=True)
        assert send(adam, other, "console-sessions/end", session=session).status_code == 404
        assert send(adam, other, "console-links/revoke", link=str(ConsoleLink.objects.get().pk)).status_code == 404
        socket.send(KEY)
        assert socket.recv(5) == KEY
    assert ConsoleLink.objects.get().revoked_at is None


@pytest.mark.parametrize("limit", ["CONSOLES_PER_USER", "CONSOLES_PER_INSTANCE"])
def test_of_many_tickets_redeemed_at_once_no_more_get_in_than_the_limit(person, instance, screen, settings, limit):
    oscar = person("oscar")
    tickets = [oscar.ticket(instance) for _turn in range(20)]
    setattr(settings, limit, 3)
    with ExitStack() as stack:
        def attempt(ticket: str) -> bool:
            try:
                enter(stack.enter_context(oscar.open(ticket, open_timeout=60)))
            except Exception:
                return False
            return True

        with ThreadPoolExecutor(20) as crowd:
            assert list(crowd.map(attempt, tickets)).count(True) == 3
        assert screen.logins == 3
        answer = oscar.ask(instance)
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_consoles")
        problem = person("oscar", key=True).ask(instance).json()
        assert (problem["limit"], problem["used"], problem["scope"]) == (3, 3, limit.rpartition("_")[2].lower())


def test_a_viewer_by_a_link_sees_the_screen_and_nothing_that_they_type_arrives(person, instance, screen):
    link = link_of(person("oscar", key=True), instance)
    vera = person("vera")
    assert vera.ask(instance).status_code == 403, "no console of her own"
    with looking(vera, instance, link) as socket:
        cut = b"\x06\x00\x00\x00\x00\x00\x00\x03abc"
        socket.send(KEY + UPDATE + cut)
        socket.send(KEY[:3])
        socket.send(KEY[3:] + UPDATE)
        seen = b""
        while len(seen) < 2 * len(UPDATE):
            seen += socket.recv(5)
        assert seen == 2 * UPDATE, "the screen echoes what reaches it"
        [row] = send(person("oscar", key=True), instance, "console-sessions", "get").json()["results"]
        assert (row["user"], row["is_view_only"]) == ("vera", True)
    assert AuditEvent.objects.filter(action="console.open", after__view_only=True).count() == 1


def test_what_no_viewer_sends_closes(person, instance, screen):
    with looking(person("vera"), instance, link_of(person("oscar", key=True), instance)) as socket:
        socket.send(b"\xff\x01\x00\x00")
        assert close_code(socket) == 1003


def test_a_link_is_told_once_and_only_its_hash_is_kept(person, instance):
    answer = send(person("oscar", key=True), instance, "console-links", minutes=5).json()
    address = urlsplit(answer["link_url"])
    assert address.fragment == answer["link"] and answer["link"] not in address.path + address.query
    assert answer["link"] not in str(ConsoleLink.objects.values_list())
    listed = send(person("adam", key=True), instance, "console-links", "get").content.decode()
    assert answer["id"] in listed and answer["link"] not in listed


@pytest.mark.parametrize("minutes", [0, -1, 24 * 60 + 1, "many", None])
def test_a_link_is_for_a_day_at_most(person, instance, minutes):
    assert send(person("oscar", key=True), instance, "console-links", minutes=minutes).status_code == 400
    assert not ConsoleLink.objects.exists()


def test_who_may_not_open_consoles_makes_no_link(person, instance):
    for name, status in (("vera", 403), ("mallory", 404)):
        assert send(person(name, key=True), instance, "console-links", minutes=5).status_code == status


def test_a_link_is_worth_nothing_to_whom_the_instance_is_hidden(person, instance):
    link = link_of(person("oscar", key=True), instance)
    mallory = person("mallory")
    answer = mallory.http.post(f"/instances/{instance.pk}/console-view/", {"link": link}, headers={"host": mallory.site})
    assert answer.status_code == 404


def test_no_more_than_twenty_links_are_good_at_a_time(person, instance):
    oscar = person("oscar", key=True)
    assert [send(oscar, instance, "console-links", minutes=5).status_code for _turn in range(21)] == [201] * 20 + [409]


def revoke(person, instance, world, program) -> None:
    link = str(ConsoleLink.objects.get().pk)
    assert send(person("adam", key=True), instance, "console-links/revoke", link=link).status_code == 204


def demote_the_maker(person, instance, world, program) -> None:
    unbind(world.people["oscar"], "operator", world.project)
    bind(world.people["oscar"], "viewer", world.project)


CAUSES = {
    "revoked": (4403, revoke),
    "expired": (4403, lambda *_all: ConsoleLink.objects.update(expires_at=F("created_at"))),
    "its maker may not any more": (4403, demote_the_maker),
    "its maker's key is revoked": (4403, lambda person, instance, world, program: revoke_api_key(
        program.key, actor=world.people["oscar"])),
    "restarted": (4409, lambda person, instance, *_all: Instance.objects.update(generation=F("generation") + 1)),
    "gone": (4404, lambda *_all: ConsoleLink.objects.all().delete()),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_viewer_is_out_within_seconds_and_the_link_is_dead_when(cause, person, instance, screen, world):
    program = person("oscar", key=True)
    link, vera = link_of(program, instance), person("vera")
    code, happen = CAUSES[cause]
    with looking(vera, instance, link) as socket:
        ticket = vera.http.post(f"/instances/{instance.pk}/console-view/", {"link": link},
                                headers={"host": vera.site}).json()["ticket"]
        happen(person, instance, world, program)
        assert seconds_until_closed(socket, code) <= LIMIT_S
    assert refusal(vera, ticket) in (4403, 4409), "a ticket from before is dead too"
    answer = vera.http.post(f"/instances/{instance.pk}/console-view/", {"link": link}, headers={"host": vera.site})
    assert (answer.status_code, answer.json()["code"]) == (403, "link_refused")
