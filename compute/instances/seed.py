"""The NoCloud drive: how a guest learns its name, keys and user data without any network (cloud-init's NoCloud source).

Pure: values in, an ISO 9660 image out. YAML is written by a library, never pasted together.
"""
from io import BytesIO

import pycdlib
import yaml

# Processors and memory that are plugged in while the guest runs are put to work, where its distribution does not do it by itself.
HOTPLUG = """\
SUBSYSTEM=="cpu", ACTION=="add", TEST=="online", ATTR{online}=="0", ATTR{online}="1"
SUBSYSTEM=="memory", ACTION=="add", TEST=="state", ATTR{state}=="offline", ATTR{state}="online_movable"
"""
# What cloud-init does besides the user data, which may replace it. Cards come and go: left to itself it sets them up only once.
VENDOR = {"write_files": [{"path": "/etc/udev/rules.d/80-mains-hotplug.rules", "content": HOTPLUG}],
          "updates": {"network": {"when": ["boot-new-instance", "boot"]}}}


def build_seed(*, instance_id: str, hostname: str, public_keys: list[str], user_data: str, macs: list[str],
               password_hash: str = "") -> bytes:
    """An ISO with label `cidata` holding meta-data, user-data, vendor-data and, for a guest with cards, network-config
    (version 2). `password_hash` is for the image's own user, whatever it is called there."""
    meta = yaml.safe_dump({"instance-id": instance_id, "local-hostname": hostname, "public-keys": public_keys})
    user = user_data or "#cloud-config\n" + yaml.safe_dump({"hostname": hostname, "ssh_authorized_keys": public_keys})
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    files = [("meta-data", "META", meta), ("user-data", "USER", user),
             ("vendor-data", "VENDOR", "#cloud-config\n" + yaml.safe_dump(VENDOR | _password(password_hash)))]
    if macs:
        files.append(("network-config", "NETWORK", yaml.safe_dump(network_config(macs))))
    for name, short, text in files:
        content = text.encode()
        iso.add_fp(BytesIO(content), len(content), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
    out = BytesIO()
    iso.write_fp(out)
    iso.close()
    return out.getvalue()


def _password(hashed: str) -> dict:
    """For the console, and for sudo; by SSH it does not open the guest, unless its image or the user data says so."""
    return {"password": hashed, "chpasswd": {"expire": False}} if hashed else {}


def network_config(macs: list[str]) -> dict:
    """Every card by DHCP, whatever the guest calls it; only the first brings the default route and name servers."""
    quiet = {"use-routes": False, "use-dns": False}
    return {"version": 2, "ethernets": {
        f"card{number}": {"match": {"macaddress": mac}, "dhcp4": True, **({"dhcp4-overrides": quiet} if number else {})}
        for number, mac in enumerate(macs)}}


def hostname_of(name: str, fallback: str) -> str:
    """A DNS label made of a display name: letters, digits and hyphens, at most 63."""
    label = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
    label = "-".join(part for part in label.split("-") if part)[:63].strip("-")
    return label or fallback
