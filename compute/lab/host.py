"""A lab host: the files that make a namespaced machine run libvirt, sshd, Open vSwitch and OVN's controller.

Power and cables are `machine`'s; what the daemons are and how they are kept alive is in `host.sh`.
"""

import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from compute.lab.authority import Identity
from compute.lab.keys import ensure_key, write_if_changed
from compute.lab.machine import Machine, port_answers, socket_answers
from compute.lab.network import TUNNEL_MTU

LIBVIRT_SOCKET = "run/libvirt/libvirt-sock"
OVS_SOCKET = "run/openvswitch/db.sock"
DRESSED = "run/openvswitch/dressed"  # the tunnel bridge has its address: see host.sh


@dataclass(frozen=True, kw_only=True)
class Host(Machine):
    """What the lab decided about one host, and how to make it so."""

    tunnel_address: str
    pool: Path
    authorized_key: str
    physical_network: str
    southbound: str
    identity: Identity

    ROLE = "host"

    @cached_property
    def public_key(self) -> str:
        """The host's SSH key, made on first use and kept."""
        return ensure_key(self.directory / "ssh_host_ed25519_key", self.name)

    @property
    def probes(self) -> Path:
        """Where libvirt keeps what it learnt of QEMU, at the price of up to 15 s."""
        return self.directory / "cache/qemu"

    def has_probed(self) -> bool:
        return any(self.probes.rglob("*.xml"))

    # -- files ---------------------------------------------------------------------------------------------------

    def write_files(self) -> None:
        """Write everything that the host's init and daemons read."""
        super().write_files()
        for folder in ("etc", "home", "lib", "log/qemu", "cache", "ovs"):  # packages of libvirt bring log/qemu
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        self.pool.mkdir(parents=True, exist_ok=True)
        write_if_changed(self.directory / "authorized_keys", self.authorized_key + "\n", mode=0o600)
        for table, text in self._accounts().items():
            write_if_changed(self.directory / table, text, mode=0o600 if table == "shadow" else 0o644)
        write_if_changed(self.directory / "sshd_config", _lines(self._sshd(), " "))
        write_if_changed(self.directory / "etc/libvirtd.conf", _lines(self._libvirtd(), " = "))
        write_if_changed(self.directory / "etc/qemu.conf", _lines(self._qemu(), " = "))
        write_if_changed(self.directory / "etc/virtlogd.conf", "")

    def _accounts(self) -> dict[str, str]:
        """Three users: ours; sshd's; and the one that libvirt resolves at start even when configured not to use it.

        Root is locked with "*", since sshd without PAM refuses an account locked with "!", as some machines have it.
        """
        home = self.directory / "home"
        users = {"root": f"0:0::{home}:/bin/bash", "sshd": "100:65534::/run/sshd:/usr/sbin/nologin"}
        users["libvirt-qemu"] = "64055:64055::/var/lib/libvirt:/usr/sbin/nologin"
        groups = {"root": 0, "tty": 5, "kvm": 104, "libvirt": 105, "libvirt-qemu": 64055, "nogroup": 65534}
        return {
            "passwd": "".join(f"{name}:x:{entry}\n" for name, entry in users.items()),
            "group": "".join(f"{name}:x:{number}:\n" for name, number in groups.items()),
            "shadow": "".join(f"{name}:*:19000:0:99999:7:::\n" for name in users),
        }

    def _sshd(self) -> dict[str, str]:
        return {
            "ListenAddress": self.address,
            "HostKey": f'"{self.directory / "ssh_host_ed25519_key"}"',
            "AuthorizedKeysFile": f'"{self.directory / "authorized_keys"}"',
            "StrictModes": "no",  # the state directory's parents are the developer's business
            "UsePAM": "no",
            "UseDNS": "no",
            "AllowUsers": "root",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "DisableForwarding": "yes",
            "PidFile": "none",
            "ClientAliveInterval": "15",
            "MaxStartups": "100",  # the portal's workers all reconnect at once after a host's reboot
        }

    def _libvirtd(self) -> dict[str, str]:
        """Unix sockets only; without a distinct host_uuid, migration says that both ends are the same host."""
        identity = uuid.uuid5(uuid.NAMESPACE_URL, str(self.directory))
        return {
            "host_uuid": f'"{identity}"',
            "unix_sock_rw_perms": '"0700"',
            "unix_sock_ro_perms": '"0700"',
            "auth_unix_rw": '"none"',
            "auth_unix_ro": '"none"',
            "max_clients": "200",
            "max_client_requests": "20",  # one shared connection carries many of the portal's calls at once
        }

    def _qemu(self) -> dict[str, str]:
        return {
            "user": '"root"',
            "group": '"root"',
            "security_driver": '"none"',
            "cgroup_controllers": "[]",
            "namespaces": "[]",
            "remember_owner": "0",
            "vnc_listen": f'"{self.address}"',  # guests' consoles are on the management network only
            "migration_host": f'"{self.address}"',
        }

    def _settings(self) -> dict[str, str]:
        return {
            "tunnel_address": self.tunnel_address,
            "tunnel_prefix_length": str(self.prefix_length),
            "tunnel_mtu": str(TUNNEL_MTU),
            "physical_network": self.physical_network,
            "southbound": self.southbound,
            "certificate": str(self.identity.certificate),
            "private_key": str(self.identity.private_key),
            "ca_certificate": str(self.identity.ca_certificate),
        }

    def _answers(self, inner: int) -> bool:
        sockets = all(socket_answers(inner, path) for path in (LIBVIRT_SOCKET, OVS_SOCKET))
        dressed = Path(f"/proc/{inner}/root/{DRESSED}").exists()
        return sockets and dressed and port_answers(self.address, 22, greeting=b"SSH-")


def _lines(settings: dict[str, str], separator: str) -> str:
    return "".join(f"{name}{separator}{value}\n" for name, value in settings.items())
