"""What a webhook may be connected to: public addresses of the internet, and nothing of ours.

A tenant's address is parsed here by rules stricter than any URL library's, so that no two parsers can disagree about it;
its name is resolved once for each delivery, every address found is checked, and the connection goes to a checked address
(`delivery`). What is refused by default may be allowed by `WEBHOOK_ALLOWED_NETWORKS` (labs, tests, a company's own
receivers); `WEBHOOK_REFUSED_NETWORKS` has the last word (public addresses of management networks).

Ports are 80, 443 and those from 1024 on, which is where receivers are found in the wild, without those that browsers refuse
and the usual ones of databases and control planes: a webhook is no tool to knock at other people's services.
"""
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import idna
from django.conf import settings
from django.utils.translation import gettext_lazy as _

Address = IPv4Address | IPv6Address
PORTS = {"http": 80, "https": 443}
LOWEST = 1024
LONGEST = 500
REFUSED_PORTS = frozenset({
    # WHATWG Fetch, "port blocking".
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    # Docker, etcd, MySQL, PostgreSQL, AMQP, VNC, Redis, OVSDB, Kubernetes, libvirt, Elasticsearch, Memcached, MongoDB.
    2375, 2376, 2379, 2380, 3306, 5432, 5672, 5900, 5901, 6379, 6380, 6640, 6641, 6642, 10250, 16509, 16514, 9200, 9300, 11211,
    27017})
# A name in these never means a host on the internet.
PRIVATE_NAMES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "arpa", "test",
                 "invalid", "onion", "cluster.local")
# What `is_global` says nothing of or lets pass: 6to4 relays, Azure's own service, multicast, reserved.
REFUSED_V4 = tuple(IPv4Network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4"))
# Only what is handed out as global unicast. It leaves out ::1, mapped and compatible IPv4, NAT64, ULA, link-local, multicast.
GLOBAL_V6 = IPv6Network("2000::/3")
# Teredo and other protocols' own, documentation, 6to4.
REFUSED_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
ISATAP = (0x00005EFE, 0x02005EFE)

AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:%@\s\\/?#]+)(?::(?P<port>[0-9]{1,5}))?")
PATH = re.compile(r"[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]*")
LABELS = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

NOT_AN_ADDRESS = _("This is not an address that a webhook can have. It looks like https://hooks.example.org/mains.")
NOT_PUBLIC = _("Webhooks are sent to public addresses of the internet only.")


class UrlRefused(ValueError):
    """The address cannot be a webhook's, or leads where webhooks do not go. Its text is for the tenant, and names nothing
    that a resolver of ours knows."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parsed address: the one reading of it that everything after this goes by."""

    scheme: str
    host: str
    """A name in ASCII, or a numeric address without brackets."""
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the header `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def literal(self) -> Address | None:
        """The numeric address, where the host is one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def parse(text: str) -> Target:
    """Read the address. Raises UrlRefused for anything that is not plainly a public http(s) address; asks no resolver."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS or len(text) > LONGEST:
        raise UrlRefused(NOT_AN_ADDRESS)
    if scheme == "http" and not settings.WEBHOOKS["plain_http"]:
        raise UrlRefused(_("The address must begin with https://."))
    authority, path = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()
    if "@" in authority:
        raise UrlRefused(_("A name or password does not belong into the address. Receivers check the signature."))
    found = AUTHORITY.fullmatch(authority)
    if found is None or not PATH.fullmatch(path):
        raise UrlRefused(NOT_AN_ADDRESS)
    target = Target(scheme=scheme, host=_host(found["host"]), port=_port(found["port"], scheme),
                    path=path if path.startswith("/") else f"/{path}")
    if target.literal is not None and not is_allowed(target.literal):
        raise UrlRefused(NOT_PUBLIC)
    return target


def _port(text: str | None, scheme: str) -> int:
    port = PORTS[scheme] if text is None else int(text)
    if port not in PORTS.values() and (not LOWEST <= port <= 65535 or port in REFUSED_PORTS):
        raise UrlRefused(_("Webhooks are not sent to this port. Use 443, 80, or one above 1023 that no other service is "
                           "known for."))
    return port


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError as error:
            raise UrlRefused(NOT_AN_ADDRESS) from error
    name = _ascii(text).removesuffix(".")
    if not LABELS.fullmatch(name) or len(name) > 253:
        raise UrlRefused(NOT_AN_ADDRESS)
    if NUMBER.fullmatch(name.rpartition(".")[2]):
        # Decimal, octal, hexadecimal and short spellings mean an address to some programs and a name to others.
        try:
            return str(IPv4Address(name))
        except ValueError as error:
            raise UrlRefused(NOT_AN_ADDRESS) from error
    if "." not in name or name.endswith(tuple(f".{ending}" for ending in PRIVATE_NAMES)):
        raise UrlRefused(NOT_PUBLIC)
    return name


def _ascii(text: str) -> str:
    """The name as resolvers know it: what looks like letters, digits and dots becomes them (UTS 46), before it is judged."""
    if text.isascii():
        return text.lower()
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode().lower()
    except UnicodeError as error:
        raise UrlRefused(NOT_AN_ADDRESS) from error


def is_allowed(address: Address) -> bool:
    """Whether a connection may be made to it."""
    if any(address in network for network in settings.WEBHOOKS["refused_networks"]):
        return False
    if any(address in network for network in settings.WEBHOOKS["allowed_networks"]):
        return True
    if isinstance(address, IPv6Address):
        interface = int(address) >> 32 & 0xFFFFFFFF
        return (address in GLOBAL_V6 and address.is_global and interface not in ISATAP
                and not any(address in network for network in REFUSED_V6))
    return address.is_global and not any(address in network for network in REFUSED_V4)


def resolve(target: Target) -> list[Address]:
    """All addresses of the target, each allowed. Raises UrlRefused when there are none or one of them is not.

    One that is not spoils the others: a name that leads inside as well as outside is no mistake worth guessing about.
    """
    found = [target.literal] if target.literal is not None else _ask(target.host)
    if not found or not all(is_allowed(address) for address in found) or _own_addresses() & set(found):
        raise UrlRefused(NOT_PUBLIC)
    return found


def _ask(name: str) -> list[Address]:
    """What the resolver says, without doubles."""
    try:
        rows: list[Any] = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ip_address(row[4][0]) for row in rows))


def _own_addresses() -> set[Address]:
    """Of this portal, unless they are allowed: whoever runs it behind a public address does not want it called by itself."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    try:
        found = [ip_address(host)]
    except ValueError:
        found = _ask(host)
    return {address for address in found if not any(address in network for network in settings.WEBHOOKS["allowed_networks"])}
