"""An open console ends within five seconds of the reason for which it may no longer be open."""
import socket as sockets
import time
from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.utils import timezone
from websockets.exceptions import ConnectionClosed

from compute.instances.console.watch import LOOK_S
from compute.instances.models import Instance
from compute.instances.operations import act
from portal.kernel.models import AuditEvent
from tenants import factors, operations, people, structure
from tenants.models import User
from tenants.operations import revoke_api_key
from tenants.roles import bind, unbind
from tests.console.conftest import close_code, enter, entered
from tests.console.screen import FakeScreen
from tests.signin.conftest import add_app

LIMIT_S = 5


def seconds_until_closed(socket, code: int) -> float:
    started = time.monotonic()
    assert close_code(socket, 2 * LIMIT_S) == code
    return time.monotonic() - started


def deactivate(world, _instance, _oscar) -> None:
    world.people["oscar"].is_active = False
    world.people["oscar"].save()


def change_password(world, _instance, _oscar) -> None:
    world.people["oscar"].set_password("something else entirely")
    world.people["oscar"].save()


def demote(world, _instance, _oscar) -> None:
    with transaction.atomic():  # in between nothing is held, and some look sees that
        unbind(world.people["oscar"], "operator", world.project)
        bind(world.people["oscar"], "viewer", world.project)


def leave(world, _instance, _oscar) -> None:
    unbind(world.people["oscar"], "operator", world.project)


def remove(world, _instance, _oscar) -> None:
    organization = world.project.organization
    people.remove_member(world.people["oscar"], organization, actor=User.objects.get(username="alice"))


def suspend(world, _instance, _oscar) -> None:
    structure.suspend_organization(world.project.organization, reason="unpaid", while_suspended="keep",
                                   actor=world.people["root"])


def require_two_steps(world, _instance, _oscar) -> None:
    operations.change_organization(world.project.organization, requires_mfa=True, actor=world.people["root"])


CAUSES: dict[str, tuple[int, Callable]] = {
    "signed out": (4403, lambda world, instance, oscar: oscar.http.logout()),
    "deactivated": (4403, deactivate),
    "another password": (4403, change_password),
    "only a viewer now": (4403, demote),
    "no member any more": (4404, leave),
    "removed": (4404, remove),
    "organization suspended": (4403, suspend),
    "second factor required": (4403, require_two_steps),
    "restarted": (4409, lambda world, instance, oscar: act(instance, "reboot", actor=world.people["adam"])),
    "deleted": (4409, lambda world, instance, oscar: act(instance, "purge", actor=world.people["adam"])),
    "gone": (4404, lambda world, instance, oscar: Instance.objects.update(deleted_at=timezone.now())),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_console_closes_when_its_user_or_instance_is(cause, person, instance, screen, world):
    code, happen = CAUSES[cause]
    oscar = person("oscar")
    with entered(oscar, instance) as socket:
        happen(world, instance, oscar)
        assert seconds_until_closed(socket, code) <= LIMIT_S


def test_a_console_of_a_revoked_key_closes(person, instance, screen, world):
    program = person("oscar", key=True)
    with entered(program, instance) as socket:
        revoke_api_key(program.key, actor=world.people["oscar"])
        assert seconds_until_closed(socket, 4403) <= LIMIT_S


def lose_the_factor(world) -> None:
    """The app is removed; recovery codes are no factor by themselves."""
    Authenticator.objects.filter(user=world.people["oscar"]).update(type=Authenticator.Type.RECOVERY_CODES)


def have_it_reset(world) -> None:
    factors.remove_all(world.people["oscar"], actor=world.people["root"])


@pytest.mark.parametrize("is_key", [False, True], ids=["browser", "key"])
@pytest.mark.parametrize("lose", [lose_the_factor, have_it_reset])
def test_a_console_closes_when_a_required_second_factor_is_gone(person, instance, screen, world, lose, is_key):
    add_app(world.people["oscar"])
    require_two_steps(world, None, None)
    with entered(person("oscar", key=is_key), instance) as socket:
        time.sleep(LOOK_S + 1)  # somebody looks, and it is still there
        socket.send(b"still here")
        assert socket.recv(5) == b"still here"
        lose(world)
        assert seconds_until_closed(socket, 4403) <= LIMIT_S
    assert wait_for(lambda: AuditEvent.objects.filter(action="console.close").first(), LIMIT_S).after["reason"] == "mfa_required"


def test_a_key_without_a_second_factor_loses_its_console_when_one_is_required(person, instance, screen, world):
    with entered(person("oscar", key=True), instance) as socket:
        require_two_steps(world, None, None)
        assert seconds_until_closed(socket, 4403) <= LIMIT_S


def test_a_console_closes_at_once_when_the_power_goes(person, instance, screen):
    with entered(person("oscar"), instance) as socket:
        screen.hang_up()
        assert seconds_until_closed(socket, 4409) <= 1


def test_a_console_of_nobody_concerned_stays_open(person, instance, screen, world):
    with entered(person("oscar"), instance) as socket, entered(person("adam"), instance) as other:
        demote(world, instance, None)
        assert seconds_until_closed(socket, 4403) <= LIMIT_S
        other.send(b"still here")
        assert other.recv(5) == b"still here"


def flood(link: sockets.socket) -> None:
    """Once asked, send without end."""
    link.recv(1)
    while True:
        link.sendall(bytes(65536))


def test_a_browser_that_reads_nothing_is_cut_off_too(person, instance, screens, world):
    """The close frame cannot even be sent: the connection goes."""
    screens[instance.pk] = FakeScreen(instance.vnc_password, then=flood)
    oscar = person("oscar")
    with oscar.open(oscar.ticket(instance), max_queue=1) as socket:
        enter(socket)
        socket.send(b"g")
        time.sleep(1)  # until all buffers are full
        demote(world, instance, oscar)
        closed = wait_for(lambda: AuditEvent.objects.filter(action="console.close").first(), LIMIT_S)
        assert closed.after["reason"] == "forbidden"
        with pytest.raises(ConnectionClosed):
            while True:
                socket.recv(LIMIT_S)
    screens[instance.pk].close()


def test_a_reused_port_shows_nobody_elses_screen(person, instance, screens):
    """Another domain took the port after our guest went: its password is another."""
    screens[instance.pk] = FakeScreen("another!")
    oscar = person("oscar")
    with oscar.open(oscar.ticket(instance)) as socket:
        assert close_code(socket) == 4409
    assert (screens[instance.pk].logins, screens[instance.pk].refusals) == (0, 1)
    screens[instance.pk].close()


def test_a_host_without_such_a_screen_is_said_so(person, instance, screens):
    oscar = person("oscar")
    with oscar.open(oscar.ticket(instance)) as socket:
        assert close_code(socket) == 4409


def wait_for(look: Callable, within: float):
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {within} s")
