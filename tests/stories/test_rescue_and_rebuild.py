"""A real guest is rescued, its disk is read from the rescue system, it comes back as it was, and is rebuilt: then all is gone."""
import pytest

from tests.stories.guests import Guest, Key, boot, remove_all
from tests.stories.portal import Portal

pytestmark = pytest.mark.lab


def do(portal: Portal, guest: Guest, verb: str, **wishes: object) -> None:
    status, operation = portal.api("POST", f"instances/{guest.pk}/actions/{verb}/", wishes)
    assert status == 202, operation
    done = portal.finish(operation, 120)
    assert done["state"] == "succeeded", done
    guest.await_ssh()


def test_what_is_on_the_disk_is_mended_from_outside_and_then_written_anew(portal: Portal, key: Key) -> None:
    [guest] = boot(portal, key, "patient")
    guest.run("mkdir -p /data/kept && echo alive > /data/kept/note && sync", user="root")
    do(portal, guest, "rescue", image=portal.demo["image"])
    inside = "test ! -e /data/kept && mkdir -p /root/own && mount -t ext4 /dev/vdb2 /root/own && cat /root/own/kept/note"
    assert guest.run(inside, user="root") == "alive", "its own disk is not the second one"
    guest.run("echo mended > /root/own/kept/note && umount /root/own && sync", user="root")
    assert portal.api("POST", f"instances/{guest.pk}/console/", {"type": "vnc"})[0] == 200
    do(portal, guest, "unrescue", force=True)
    assert guest.run("cat /data/kept/note", user="root") == "mended"
    before = portal.api("GET", f"instances/{guest.pk}/")[1]
    do(portal, guest, "rebuild")
    after = portal.api("GET", f"instances/{guest.pk}/")[1]
    assert after["addresses"] == before["addresses"]
    assert guest.run("test ! -e /data/kept && echo empty", user="root") == "empty"
    remove_all(portal)
