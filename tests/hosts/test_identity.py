"""The portal's own SSH key: one a region, made when first needed, used where an endpoint has none of its own."""
import subprocess
import threading

import pytest
from django.core.management import call_command
from django.db import connection, connections

from compute.hosts.connections import address_of
from compute.hosts.identity import authorized_line, identity_of, public_line
from compute.hosts.models import Endpoint, Host, SshIdentity
from portal.kernel.models import Region
from tests.world import World


def endpoint_of(world: World, **fields: str) -> Endpoint:
    usual = {"name": "real", "driver": "libvirt", "uri": "qemu+ssh://root@10.99.7.11/system"}
    endpoint = Endpoint.objects.create(**usual | fields)
    Host.objects.create(region=world.region, zone=world.zone, name="real", endpoint=endpoint)
    return Endpoint.objects.get(pk=endpoint.pk)


def test_hosts_without_a_key_of_their_own_share_the_regions(world: World, django_assert_num_queries) -> None:
    endpoint = endpoint_of(world)
    address = address_of(endpoint)
    assert address.private_key == identity_of(world.region).private_key and "PRIVATE KEY" in address.private_key
    assert authorized_line(endpoint, world.region) == identity_of(world.region).public_key
    host = Host.objects.select_related("endpoint").get(endpoint=endpoint)
    with django_assert_num_queries(1):
        assert address_of(host.endpoint) == address


def test_an_endpoints_own_key_is_used_and_its_line_is_told(world: World, tmp_path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "own")], check=True)
    private = (tmp_path / "own").read_text()
    endpoint = endpoint_of(world, private_key=private)
    assert address_of(endpoint).private_key == private
    assert authorized_line(endpoint, world.region).split()[:2] == (tmp_path / "own.pub").read_text().split()[:2]
    assert not SshIdentity.objects.exists()


def test_what_is_not_reached_by_ssh_needs_no_key(world: World) -> None:
    assert address_of(world.host.endpoint).private_key == "" and not SshIdentity.objects.exists()
    assert address_of(endpoint_of(world, uri="qemu:///system")).private_key == ""
    assert not world.host.endpoint.target and not Endpoint.objects.get(name="real").takes_commands


def test_the_private_part_is_unreadable_in_the_database_and_rotated(world: World) -> None:
    identity = identity_of(world.region)

    def stored() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT private_key FROM hosts_sshidentity")
            return cursor.fetchone()[0]

    before = stored()
    assert "PRIVATE KEY" not in before
    call_command("rotate_secrets", verbosity=0)
    assert stored() != before and SshIdentity.objects.get().private_key == identity.private_key
    assert public_line(identity.private_key, "mains-lab") == identity.public_key
    assert identity_of(Region.objects.create(slug="other", name="Other")).public_key != identity.public_key


@pytest.mark.django_db(transaction=True)
def test_two_that_need_the_first_one_at_once_get_the_same(transactional_db: None) -> None:
    region, found, begin = Region.objects.create(slug="lab", name="Lab"), set(), threading.Barrier(8)

    def ask() -> None:
        begin.wait()
        found.add(identity_of(region).public_key)
        connections.close_all()

    threads = [threading.Thread(target=ask) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1 and SshIdentity.objects.count() == 1
