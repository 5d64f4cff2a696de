"""Turns an address into a URI that libvirt can open.

For SSH, libvirt runs the program that the URI's `command=` names in place of ssh: our wrapper, which uses our own
configuration, key and known hosts (`drivers.ssh`). No connection is made here.
"""
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from compute.hosts.drivers.contract import Address
from compute.hosts.drivers.ssh import client_folder


def connectable_uri(address: Address) -> str:
    """The address's URI; with a private key given, made to use that key and to know the host by the given host
    key."""
    if not address.private_key:
        return address.uri
    parts = urlsplit(address.uri)
    query = dict(parse_qsl(parts.query)) | {"command": str(client_folder(address) / "ssh"), "no_tty": "1"}
    encoded = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return urlunsplit(parts._replace(query=encoded))
