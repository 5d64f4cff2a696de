"""What a locked instance has stays as it is: its floating IPs and security groups, and by the same guard its volumes; for
everybody but the platform itself, and however it is asked for."""
import threading
import time
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from compute.instances import guarding
from compute.instances.errors import InstanceLocked, InstanceProtected
from compute.instances.models import Instance
from compute.network import operations as network
from compute.network.models import FloatingIp, Port
from portal.kernel.errors import PortalError
from portal.kernel.guards import kept, require_changeable
from portal.kernel.models import AuditEvent
from tests.instances.test_guards import put, waiting
from tests.network.networked import Networked, add_network
from tests.pages.test_network_pages import order
from tests.world import World, drain


@pytest.fixture
def networked(world: World) -> Networked:
    return add_network(world)


@pytest.fixture
def locked(world: World, networked: Networked) -> Instance:
    """On a network, with a floating IP and a spare one, and locked."""
    instance = order(networked)
    [port] = Port.objects.filter(domain=instance.pk)
    for name in ("hers", "spare"):
        network.allocate_floating_ip(world.project, world.region, name=name, actor=None)
    network.associate(FloatingIp.objects.get(name="hers"), port, actor=None)
    drain()
    put(world, instance, "tenant")
    return Instance.objects.get()


def port_of(instance: Instance) -> Port:
    return Port.objects.select_related("subnet__vpc").get(domain=instance.pk, position=0)


def hers() -> FloatingIp:
    return FloatingIp.objects.get(name="hers")


def changes(instance: Instance, who: object) -> dict[str, Callable[[], object]]:
    """Each would work if it were not locked."""
    other = network.create_port(port_of(instance).subnet, [], name="other", actor=None)
    Port.objects.filter(pk=other.pk).update(domain=instance.pk, position=1)
    bare = Port.objects.select_related("subnet__vpc").get(pk=other.pk)
    return {"disassociate": lambda: network.disassociate(hers(), actor=who),
            "associate": lambda: network.associate(FloatingIp.objects.get(name="spare"), bare, actor=who),
            "groups": lambda: network.set_groups(port_of(instance), [], actor=who)}


@pytest.mark.parametrize("guard", ["tenant", "operator"])
def test_everybody_is_refused_and_the_platform_is_not(world: World, locked: Instance, guard: str) -> None:
    put(world, locked, guard)
    for who in ("alice", "root", None):
        for name, change in changes(locked, world.people[who] if who else None).items():
            with transaction.atomic():
                try:
                    change()
                    found = "done"
                except PortalError as error:
                    found = error.code
                transaction.set_rollback(True)
            assert found == ("locked" if who else "done"), (name, who)
        Port.objects.filter(name="other").update(domain=None)
    assert hers().state == "attached" and port_of(locked).groups.count() == 1


def test_by_api_it_is_a_conflict_that_says_who_and_why(networked: Networked, locked: Instance) -> None:
    said, port = [], port_of(locked)
    said.append(networked.post(f"floating-ips/{hers().pk}/actions/disassociate"))
    said.append(networked.api().patch(f"/api/v1/ports/{port.pk}/", {"security_groups": []}, format="json"))
    fresh = networked.get(f"ports/{port.pk}")
    said.append(networked.api().patch(f"/api/v1/ports/{port.pk}/", {"security_groups": []}, format="json",
                                      headers={"if-match": fresh.headers["ETag"]}))
    assert [(one.status_code, one.json()["code"], one.json()["by"]) for one in said] == [(409, "locked", "oscar")] * 3
    renamed = networked.api().patch(f"/api/v1/ports/{port.pk}/", {"name": "front"}, format="json")
    assert renamed.status_code == 200, "what it is called may change"
    networked.post(f"instances/{locked.pk}/actions/unlock")
    assert networked.post(f"floating-ips/{hers().pk}/actions/disassociate").status_code == 202


def test_pages_say_why_instead_of_a_button(networked: Networked, locked: Instance, browser: Callable[[str], Client]) -> None:
    port = port_of(locked)
    pages = {"instance": reverse("instances:detail", args=[locked.pk]) + "?tab=network", "list": reverse("floating_ips:list"),
             "address": reverse("floating_ips:detail", args=[hers().pk]),
             "vpc": reverse("vpcs:detail", args=[port.subnet.vpc_id])}
    ways = [reverse("floating_ips:disassociate", args=[hers().pk]), reverse("ports:security-groups", args=[port.pk])]
    for name, page in pages.items():
        shown = browser("adam").get(page).content.decode()
        assert "was locked by oscar" in shown, name
        assert not [way for way in ways if f'action="{way}"' in shown or f'href="{way}"' in shown], name
    assert browser("adam").post(ways[0], {"confirmed": "1"}).status_code == 409
    bulk = browser("adam").post(reverse("floating_ips:bulk-disassociate"), {"id": str(hers().pk), "confirmed": "1"})
    assert "was locked by oscar" in bulk.content.decode() and hers().state == "attached"
    refused = browser("adam").post(ways[1], {"security_groups": []})
    assert refused.status_code == 409 and "was locked by oscar" in refused.content.decode()


def test_what_is_protected_keeps_what_would_be_deleted_of_it(world: World, running: Instance) -> None:
    put(world, running, "protected")
    with transaction.atomic():
        require_changeable(running.pk, None, actor=world.people["alice"])
        require_changeable(running.pk, actor=None, ends=True)
        with pytest.raises(InstanceProtected):
            require_changeable(running.pk, actor=world.people["root"], ends=True)
    assert kept([running.pk]) == {} and list(kept([running.pk], ends=True)) == [running.pk]


def test_a_change_that_comes_while_it_is_being_locked_waits_and_is_refused(world: World, locked: Instance) -> None:
    guarding.unlock(locked, actor=world.people["oscar"])
    found: list[str] = []

    def change() -> None:
        try:
            network.disassociate(hers(), actor=world.people["alice"])
            found.append("done")
        except InstanceLocked:
            found.append("locked")
        finally:
            connection.close()

    thread = threading.Thread(target=change, daemon=True)
    with transaction.atomic():
        guarding.lock(locked, actor=world.people["oscar"])
        thread.start()
        deadline = time.monotonic() + 20
        while not waiting():
            assert time.monotonic() < deadline and not found, "it did not ask under the row's lock"
            time.sleep(0.02)
    thread.join(20)
    assert found == ["locked"] and not AuditEvent.objects.filter(action="floating_ip.disassociate").exists()
