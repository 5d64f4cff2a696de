"""SSH keys: parsing what tenants paste, generating pairs, the verbs."""
import base64
import hashlib
from collections.abc import Iterable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from compute.instances.models import SshKey
from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from portal.kernel.names import LONGEST, is_name
from portal.kernel.states import database_now
from tenants.models import Project
from tenants.standing import require_open

KINDS = {b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp521"}


PLAIN = str.maketrans("+/", "-_")


def parse(text: str) -> tuple[str, str]:
    """(one clean line, SHA256 fingerprint as ssh-keygen prints it). Raises InvalidInput."""
    line = " ".join(text.split())
    try:
        serialization.load_ssh_public_key(line.encode())
        kind, blob = line.split(" ")[:2]
        if kind.encode() not in KINDS:
            raise ValueError(kind)
        raw = base64.b64decode(blob, validate=True)
    except (ValueError, UnicodeError, TypeError, IndexError) as error:
        raise InvalidInput.field("public_key", str(_("This is not an SSH public key."))) from error
    except UnsupportedAlgorithm as error:
        raise InvalidInput.field("public_key", str(_("This kind of SSH key is not supported."))) from error
    fingerprint = base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
    return line, f"SHA256:{fingerprint}"


@transaction.atomic
def add_key(project: Project, region: Region, *, name: str, public_key: str, actor) -> SshKey:
    """One more key of the project. Raises InvalidInput for what is no key, ProjectArchived."""
    line, fingerprint = parse(public_key)
    require_open(project)
    key = SshKey.objects.create(project=project, region=region, name=name, public_key=line, fingerprint=fingerprint)
    audit.record("sshkey.create", key, actor=actor, after={"name": name, "fingerprint": fingerprint})
    return key


def take_key(project: Project, region: Region, text: str, *, actor) -> SshKey:
    """The project's key of this text; made under its comment when the project has none. Raises InvalidInput."""
    line, fingerprint = parse(text)
    found = SshKey.objects.live().filter(project=project, fingerprint=fingerprint).order_by("created_at", "pk").first()
    return found or add_key(project, region, name=_name_of(line, fingerprint), public_key=line, actor=actor)


def _name_of(line: str, fingerprint: str) -> str:
    """The key's comment, or something of its fingerprint where that is no name."""
    comment = " ".join(line.split(" ")[2:])[:LONGEST]
    return comment if comment.strip() and is_name(comment) else f"key {fingerprint.removeprefix('SHA256:')[:8].translate(PLAIN)}"


def errors(texts: Iterable[str]) -> list[str]:
    """What is wrong with these; empty when all of them are keys."""
    found: list[str] = []
    for text in texts:
        try:
            parse(text)
        except InvalidInput as error:
            found += error.errors["public_key"]
    return list(dict.fromkeys(found))


def generate_key(project: Project, region: Region, *, name: str, actor) -> tuple[SshKey, str]:
    """A new pair; the private part is returned once and stored nowhere."""
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    key = add_key(project, region, name=name, public_key=public, actor=actor)
    text = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                 serialization.NoEncryption()).decode()
    return key, text


@transaction.atomic
def delete_key(key: SshKey, *, actor) -> None:
    """Forgotten for new instances; those that have it keep it."""
    SshKey.objects.filter(pk=key.pk).update(deleted_at=database_now())
    audit.record("sshkey.delete", key, actor=actor, before={"name": key.name, "fingerprint": key.fingerprint})
