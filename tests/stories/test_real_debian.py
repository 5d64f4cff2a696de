"""A Debian 12 with its own cloud-init and guest agent, as a tenant runs it: one guest, booted once, for it takes minutes."""
import ctypes
import hashlib
import json
import re
import shutil
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.soak import SOAKING
from tests.stories import debian
from tests.stories.guests import Guest, Key, await_made, order, remove_all, wait_for
from tests.stories.portal import ROOT, Portal

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.skipif(
    not SOAKING, reason="it is built and booted for some ten minutes: make soak")]
BOOT_LIMIT_S = 900
FIRST, SECOND = "first one, 2026", "another one, 2026"
SCRIPT = "#!/bin/sh\necho \"as $(id -un) on $(hostname)\" > /root/proof\n"
MAKE = """
from storage.models import Image; from compute.instances.models import InstanceType; from portal.kernel.models import Region
from tenants.models import Project; from billing.seed import seed_prices; import json
told = json.loads({told!r}); region = Region.objects.get(pk=told["region"])
image = Image.objects.create(project=Project.objects.get(pk=told["project"]), region=region, name="Debian 12", os="Debian 12",
    state="active", visibility="public", min_disk_gib=2, virtual_size=told["size"], files=told["files"],
    kernel_cmdline=told["cmdline"], tags=dict(login="debian"))
size = InstanceType.objects.create(slug="debian", name="Debian", vcpus=2, memory_mib=768, root_disk_gib=2)
seed_prices(region, [(f"instance.{{state}}", "debian", 1) for state in ("running", "stopped", "paused", "suspended", "recycled")])
print(json.dumps([str(image.pk), str(size.pk)]))
"""


def offer(portal: Portal) -> dict[str, str]:
    """The image and a size for it in the portal's catalogue."""
    store, files = portal.state / "images", {}
    store.mkdir(parents=True, exist_ok=True)
    for part, path in debian.build(ROOT / "var/cache/debian-guest").items():
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        kind = "qcow2" if part == "disk" else "raw"
        kept = store / f"{digest}.{kind}"
        if not kept.exists():
            shutil.copyfile(path, kept)
        files[part] = {"file": kept.name, "size": path.stat().st_size, "format": kind, "sha256": digest}
    told = {"files": files, "size": debian.SIZE, "cmdline": debian.CMDLINE, "region": portal.demo["region"],
            "project": portal.demo["tenant"]["project"]}
    image, size = json.loads(portal.shell(MAKE.format(told=json.dumps(told))))
    return {"image": image, "type": size}


def second_subnet(portal: Portal) -> list[str]:
    """The default network's subnet, and a new one beside it."""
    vpc = portal.api("GET", "vpcs/")[1]["results"][0]
    first = portal.api("GET", f"subnets/?vpc={vpc['id']}")[1]["results"][0]
    status, made = portal.api("POST", "subnets/", {"vpc": vpc["id"], "name": "beside", "cidr": beside(vpc["cidr"])})
    assert status in (201, 202), made
    if status == 202:
        assert portal.finish(made)["state"] == "succeeded"
        made = {"id": made["target"]["id"]}
    portal.await_networks()
    return [first["id"], made["id"]]


def beside(cidr: str) -> str:
    """The last /24 of a network."""
    return str(list(ip_network(cidr).subnets(new_prefix=24))[-1])


def told_by(portal: Portal, guest: Guest) -> dict[str, Any]:
    return portal.api("GET", f"instances/{guest.pk}/")[1]["guest"] or {"agent": ""}


def do(portal: Portal, guest: Guest, verb: str, **wishes: object) -> dict[str, Any]:
    status, operation = portal.api("POST", f"instances/{guest.pk}/actions/{verb}/", wishes)
    assert status == 202, operation
    done = portal.finish(operation, 120)
    assert done["state"] == "succeeded", done
    return operation


def run(guest: Guest, command: str) -> str:
    return guest.run(f"sudo sh -c '{command}'", user=debian.LOGIN, limit_s=120)


def test_a_real_debian_is_set_up_and_obeys_its_agent(portal: Portal, key: Key) -> None:
    wanted = offer(portal)
    made = order(portal, key, "debian-one", subnets=second_subnet(portal), user_data=SCRIPT, password=FIRST, **wanted)
    [guest] = await_made(portal, made, key, limit_s=300)
    opened = wait_for(lambda: guest.ssh("true", user=debian.LOGIN, limit_s=30).returncode == 0, "SSH as debian", BOOT_LIMIT_S)
    guest.ssh("cloud-init status --wait", user=debian.LOGIN, limit_s=300)
    print(f"SSH after {opened:.0f} s")

    # Set up by cloud-init: key (or we were not here), host name, user data, the first password.
    assert run(guest, "cloud-init status") == "status: done", run(guest, "grep -E WARN\\|Error /var/log/cloud-init.log")
    assert run(guest, "cat /root/proof") == "as root on debian-one"
    assert guest.run("id -un; hostname", user=debian.LOGIN).split() == [debian.LOGIN, "debian-one"]
    assert shadow(guest, debian.LOGIN).startswith("$6$") and is_password(guest, debian.LOGIN, FIRST)
    # Both cards, each by DHCP; one default route.
    cards = portal.api("GET", f"instances/{guest.pk}/")[1]["addresses"]
    assert len(cards) == 2
    listed = {one["address"]: {"/".join((str(at["local"]), str(at["prefixlen"]))) for at in one["addr_info"]}
              for one in json.loads(run(guest, "ip -json address show"))}
    for card in cards:
        assert any(text.startswith(f"{card['ip']}/") for text in listed[card["mac"]]), (card, listed)
    assert run(guest, "ip route show default").count("default") == 1

    # The agent: addresses.
    wait_for(lambda: told_by(portal, guest)["agent"] == "answers", "the agent is heard", 180)
    told = {card["mac"]: card["addresses"] for card in told_by(portal, guest)["cards"]}
    for card in cards:
        assert any(text.startswith(f"{card['ip']}/") for text in told[card["mac"]]), (card, told)
    # A password.
    answer = do(portal, guest, "reset-password", user=debian.LOGIN, password=SECOND)
    assert answer["password"] == SECOND and is_password(guest, debian.LOGIN, SECOND)
    assert not is_password(guest, debian.LOGIN, FIRST)
    # Freeze and thaw, as steps of an operation ask for it.
    assert driven(portal, guest, "ensure_frozen") == "done"
    begun = guest.ssh("timeout 5 sudo sh -c 'echo x > /root/late && sync' && echo written", user=debian.LOGIN)
    assert "written" not in begun.stdout, "it writes while it is frozen"
    for _again in range(2):
        assert driven(portal, guest, "ensure_thawed") == "done"
    assert run(guest, "echo y > /root/after; sync; cat /root/after") == "y"
    # The time, after it stood still.
    run(guest, "systemctl stop systemd-timesyncd chrony ntp 2>/dev/null; true")
    do(portal, guest, "pause")
    do(portal, guest, "resume")
    run(guest, "date -s @1000000000 >/dev/null")
    assert driven(portal, guest, "set_guest_clock") == "done"
    assert abs(int(run(guest, "date +%s")) - int(portal.query("SELECT extract(epoch FROM now())::bigint")[0][0])) < 60
    remove_all(portal)


def shadow(guest: Guest, user: str) -> str:
    return run(guest, f"getent shadow {user}").split(":")[1]


def is_password(guest: Guest, user: str, password: str) -> bool:
    """Whether the guest's own hash is that of the password."""
    library, kept = ctypes.CDLL("libcrypt.so.1"), shadow(guest, user)
    library.crypt.restype = ctypes.c_char_p
    salt = re.match(r"\$6\$(?:rounds=\d+\$)?[^$]+\$", kept)[0]
    return library.crypt(password.encode(), salt.encode()).decode() == kept


def driven(portal: Portal, guest: Guest, verb: str) -> str:
    """What a verb of the driver comes to, asked beside the portal."""
    return portal.shell(
        "from compute.instances.models import Instance; from compute.hosts.connections import hypervisor\n"
        f"row = Instance.objects.select_related('host__endpoint').get(pk='{guest.pk}')\n"
        f"with hypervisor(row.host) as driver: driver.{verb}(row.pk, row.generation)\n"
        "print('done')")


def test_the_image_is_not_built_anew_each_time() -> None:
    folder = Path(ROOT) / "var/cache/debian-guest"
    before = debian.build(folder)["disk"].stat().st_mtime_ns
    assert debian.build(folder)["disk"].stat().st_mtime_ns == before
