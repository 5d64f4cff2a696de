"""A ticket opens one console, once, soon, for the one who asked for it, from a page of ours."""
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db.models import F
from websockets.exceptions import InvalidStatus

from compute.instances.console.models import ConsoleTicket
from compute.instances.operations import act
from portal.kernel.models import AuditEvent
from portal.kernel.secrets import digest
from tenants.roles import unbind
from tests.console.conftest import close_code, enter, entered


def refusal(person, ticket: str, **options) -> int:
    """The HTTP status of the refused handshake, or the code with which the accepted socket was closed at once."""
    try:
        with person.open(ticket, **options) as socket:
            return close_code(socket)
    except InvalidStatus as refused:
        return refused.response.status_code


def test_a_ticket_opens_the_screen_and_keys_reach_the_guest(person, instance, screen):
    with entered(person("oscar"), instance) as socket:
        assert socket.subprotocol == "binary"
        socket.send(b"\x04\x01\x00\x00\x00\x00\x00\x61")
        assert socket.recv(5) == b"\x04\x01\x00\x00\x00\x00\x00\x61"
    assert screen.logins == 1


def test_a_program_opens_it_with_its_api_key(person, instance, screen):
    with entered(person("oscar", key=True), instance) as socket:
        socket.send(b"hello")
        assert socket.recv(5) == b"hello"


def test_opening_and_closing_is_audited_with_the_time_it_took(person, instance, screen, world):
    with entered(person("oscar"), instance):
        pass
    opened = AuditEvent.objects.get(action="console.open")
    assert (opened.actor, opened.target_id, opened.address) == (world.people["oscar"], str(instance.pk), "127.0.0.1")
    closed = wait_for_one(AuditEvent.objects.filter(action="console.close"))
    assert closed.after["reason"] == "left"
    assert 0 <= closed.after["seconds"] <= 5


def test_a_ticket_is_good_once(person, instance, screen):
    oscar = person("oscar")
    ticket = oscar.ticket(instance)
    with oscar.open(ticket) as socket:
        enter(socket)
        assert refusal(oscar, ticket) == 4403
    assert refusal(oscar, ticket) == 4403
    assert AuditEvent.objects.filter(action="console.open", result="refused").count() == 2


def test_of_a_hundred_at_once_one_gets_in(person, instance, screen):
    oscar = person("oscar")
    ticket = oscar.ticket(instance)

    def attempt(_turn: int) -> bool:
        return refusal_or_entry(oscar, ticket)

    with ThreadPoolExecutor(100) as crowd:
        entries = list(crowd.map(attempt, range(100)))
    assert entries.count(True) == 1
    assert screen.logins == 1


def refusal_or_entry(person, ticket: str) -> bool:
    with person.open(ticket, open_timeout=60) as socket:
        try:
            enter(socket)
        except Exception:
            return False
        return True


def test_a_ticket_is_not_good_for_another_user(person, instance, screen):
    assert refusal(person("adam"), person("oscar").ticket(instance)) == 4403
    assert screen.logins == 0


def test_a_ticket_is_not_good_for_another_session_of_the_same_user(person, instance, screen):
    assert refusal(person("oscar"), person("oscar").ticket(instance)) == 4403


def test_a_ticket_of_a_session_is_not_good_for_a_key_nor_the_other_way_round(person, instance, screen):
    browser, program = person("oscar"), person("oscar", key=True)
    assert refusal(program, browser.ticket(instance)) == 403
    assert refusal(browser, program.ticket(instance)) == 4403
    assert refusal(person("oscar", key=True), program.ticket(instance)) == 403


def test_a_ticket_is_nothing_without_its_principal(person, instance, screen):
    oscar = person("oscar")
    assert refusal(oscar, oscar.ticket(instance), additional_headers={}) == 4401
    assert refusal(oscar, oscar.ticket(instance), additional_headers={}, origin=None) == 401


def test_a_late_ticket_is_refused(person, instance, screen):
    oscar = person("oscar")
    ticket = oscar.ticket(instance)
    ConsoleTicket.objects.update(expires_at=F("created_at") - timedelta(seconds=1))
    assert refusal(oscar, ticket) == 4403


def test_a_ticket_lives_thirty_seconds_and_only_its_hash_is_kept(person, instance):
    ticket = person("oscar").ticket(instance)
    row = ConsoleTicket.objects.get()
    assert row.expires_at - row.created_at <= timedelta(seconds=30.1)
    assert row.secret_hash == digest(ticket)
    assert ticket not in str(ConsoleTicket.objects.values_list())
    assert len(ticket) >= 22  # 128 bits in base64


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example",
                                    "http://", "file:///etc", "http://[", "https://{site}"])
def test_a_foreign_origin_is_refused_and_the_ticket_stays_good(person, instance, screen, origin):
    oscar = person("oscar")
    ticket = oscar.ticket(instance)
    assert refusal(oscar, ticket, origin=origin.format(site=oscar.site)) == 403
    with oscar.open(ticket) as socket:
        enter(socket)


def test_a_rebound_name_does_not_make_a_foreign_page_ours(person, instance, screen):
    oscar = person("oscar")
    evil = {"Host": "evil.example", **oscar.headers}
    assert refusal(oscar, oscar.ticket(instance), origin="http://evil.example", additional_headers=evil) == 403


@pytest.mark.parametrize("subprotocols", [None, ["binary"], ["binary", "ticket."], ["binary", "ticket.x"], ["other"]])
def test_without_a_ticket_nobody_gets_in(person, instance, screen, subprotocols):
    assert refusal(person("oscar", key=True), "", subprotocols=subprotocols) == 403


def test_who_may_not_open_consoles_gets_no_ticket(person, instance):
    assert person("vera").ask(instance).status_code == 403
    assert person("mallory").ask(instance).status_code == 404
    assert person("oscar", key=True, scopes=["instance.view"]).ask(instance).status_code == 403
    assert not ConsoleTicket.objects.exists()


def test_there_is_no_ticket_for_what_does_not_run(person, instance, world):
    act(instance, "stop", actor=world.people["adam"])
    assert person("oscar").ask(instance).status_code == 409
    assert person("oscar", key=True).ask(instance).status_code == 409


def test_a_loop_that_mints_tickets_is_stopped(person, instance):
    oscar = person("oscar")
    assert [oscar.ask(instance).status_code for _turn in range(32)][-2:] == [429, 429]


def test_rights_count_when_the_ticket_is_used(person, instance, screen, world):
    oscar = person("oscar")
    ticket = oscar.ticket(instance)
    unbind(world.people["oscar"], "operator", world.project)
    assert refusal(oscar, ticket) == 4404
    assert screen.logins == 0


def test_a_ticket_of_an_earlier_start_is_refused(person, instance, screen):
    oscar = person("oscar")
    ticket = oscar.ticket(instance)
    type(instance).objects.update(generation=F("generation") + 1)
    assert refusal(oscar, ticket) == 4409


def test_no_log_and_no_url_has_a_ticket(person, instance, screen, caplog):
    oscar, program = person("oscar"), person("oscar", key=True)
    with caplog.at_level(logging.DEBUG):
        # Our own client's debug log tells what it sends: that is not the portal's.
        logging.getLogger("websockets.client").setLevel(logging.WARNING)
        tickets = [oscar.ticket(instance), program.ticket(instance), oscar.ticket(instance)]
        refusal(oscar, tickets[1])
        for one, ticket in ((oscar, tickets[0]), (program, tickets[1])):
            with one.open(ticket) as socket:
                enter(socket)
    assert "/ws/console/" in caplog.text
    assert not [ticket for ticket in tickets if ticket in caplog.text]


def wait_for_one(rows):
    for _turn in range(50):
        if rows.exists():
            return rows.get()
        time.sleep(0.1)
    raise AssertionError("no such row")
