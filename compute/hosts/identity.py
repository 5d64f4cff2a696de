"""The portal's own SSH key pair of a region: made when it is first needed, its private part never shown."""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from compute.hosts.models import Endpoint, SshIdentity
from portal.kernel.models import Region


def identity_of(region: Region) -> SshIdentity:
    """The region's identity; two that need the first one at once get the same."""
    found = SshIdentity.objects.filter(region=region).first()
    return found or SshIdentity.objects.get_or_create(region=region, defaults=_new_pair(f"mains-{region.slug}"))[0]


def _new_pair(comment: str) -> dict[str, str]:
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                 serialization.NoEncryption()).decode()
    return {"private_key": text, "public_key": public_line(text, comment)}


def public_line(private_key: str, comment: str = "mains") -> str:
    """The line for authorized_keys that belongs to a private key. Raises ValueError for what is none."""
    loaded = serialization.load_ssh_private_key(private_key.strip().encode() + b"\n", password=None)
    line = loaded.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode()} {comment}"


def key_of(endpoint: Endpoint) -> str:
    """The private key that the endpoint's host lets in: its own, else that of its region; empty where SSH is not used."""
    host = getattr(endpoint, "host", None)
    if endpoint.private_key or endpoint.target is None or host is None:
        return endpoint.private_key
    found = SshIdentity.objects.filter(region=host.region_id).first() or identity_of(host.region)
    return found.private_key


def authorized_line(endpoint: Endpoint, region: Region) -> str:
    """What its host must have in authorized_keys."""
    if not endpoint.private_key:
        return identity_of(region).public_key
    try:
        return public_line(endpoint.private_key)
    except ValueError:
        return ""
