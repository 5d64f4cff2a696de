"""Consoles and those who run the site: as somebody, under their own name; as themselves, during an emergency access."""
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from compute.instances.models import Instance
from portal.kernel.models import AuditEvent
from tenants import impersonation
from tenants.glass import break_glass, end
from tenants.models import Impersonation, User
from tests.console.conftest import Person, close_code, enter, entered
from tests.console.screen import FakeScreen


@pytest.fixture
def root(world) -> User:
    world.people["root"] = User.objects.create(username="chief", is_superuser=True, is_staff=True)
    return world.people["root"]


def test_as_a_user_it_is_the_operators_doing_and_ends_with_that(world, root: User, instance: Instance, screen: FakeScreen,
                                                               person: Callable[..., Person]) -> None:
    chief, oscar = person("root"), world.people["oscar"]
    answer = chief.http.post("/admin/tenants/impersonation/add/", {"user": str(oscar.pk), "reason": "ticket 1"},
                             headers={"host": chief.site})
    assert answer.status_code == 302
    link = chief.http.post(f"/api/v1/instances/{instance.pk}/console-links/", {"minutes": 5}, content_type="application/json",
                           headers={"host": chief.site})
    assert (link.status_code, link.json()["code"]) == (403, "not_for_another"), "it would be good long after that"
    with entered(chief, instance) as socket:
        row = AuditEvent.objects.get(action="console.open")
        assert (row.actor, row.on_behalf_of, row.organization) == (root, oscar, world.project.organization)
        impersonation.stop(Impersonation.objects.get())
        assert close_code(socket, 10) == 4403
    limit = time.monotonic() + 10  # it is written once the socket is closed
    while not (row := AuditEvent.objects.filter(action="console.close").first()) and time.monotonic() < limit:
        time.sleep(0.05)
    assert (row.actor, row.on_behalf_of) == (root, oscar)


def test_as_themselves_only_during_an_emergency_access(world, root: User, instance: Instance, screen: FakeScreen,
                                                       person: Callable[..., Person]) -> None:
    chief = person("root")
    assert chief.ask(instance).status_code == 403
    access = break_glass(world.project.organization, reason="ticket 2", duration=timedelta(hours=1), actor=root)
    ticket = chief.ticket(instance)
    with chief.open(ticket) as socket:
        enter(socket)
        end(access, actor=root)
        assert close_code(socket, 10) == 4403
    assert chief.ask(instance).status_code == 403
