"""Verbs on tenants: organizations, projects, bindings, API keys. The caller has checked access."""
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from hmac import compare_digest
from ipaddress import ip_network
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.kernel import audit, requests
from portal.kernel.composed import Composed
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput, QuotaExceeded, StateConflict
from portal.kernel.secrets import digest, random_secret
from tenants.errors import AddressNotAllowed, NotForAnother
from tenants.factors import require_factor
from tenants.models import ApiKey, Organization, Project, User
from tenants.names import RESERVED_RULE, is_reserved
from tenants.quotas import reserve
from tenants.roles import bind
from tenants.standing import lock_organization, name_once, require_open

KEY_PREFIX = "mns"
# More than anybody needs: each request reads the projects of its caller, and each key has an allowance of requests of its own.
MOST_PROJECTS, DEEPEST, MOST_KEYS = 1000, 10, 100
MOST_NETWORKS, LONGEST_KEY = 50, 200
LONGEST_OVERLAP, NOTED_EVERY = timedelta(days=7), timedelta(minutes=1)


@transaction.atomic
def create_organization(name: str, *, owner: User, actor: User | None,
                        plan: str = Organization.Plan.STANDARD) -> Organization:
    """An organization with its owner bound."""
    organization = Organization.objects.create(name=name, plan=plan)
    bind(owner, "owner", organization)
    audit.record("organization.create", organization, actor=actor,
                 after={"name": name, "plan": plan, "owner": str(owner.pk)})
    return organization


@transaction.atomic
def create_project(organization: Organization, name: str, *, actor: User | None, parent: Project | None = None,
                   description: str = "") -> Project:
    """A project below `parent` (or at the top). Raises InvalidInput when the parent is another organization's or too deep, or
    has one of this name; ProjectArchived; QuotaExceeded beyond MOST_PROJECTS."""
    if parent is not None and parent.organization_id != organization.pk:
        raise InvalidInput.field("parent", "The parent belongs to another organization.")
    lock_organization(organization.pk)
    if parent is not None:
        require_open(parent)
    if parent is not None and len(parent.path) >= DEEPEST:
        raise InvalidInput.field("parent", _("Projects are at most {most} deep.").format(most=DEEPEST))
    _check_number("projects", organization.name, Project.objects.living().filter(organization=organization), MOST_PROJECTS)
    project = Project(organization=organization, parent=parent, name=name, description=description)
    project.path = [*(parent.path if parent else []), str(project.pk)]
    with name_once():
        project.save(force_insert=True)
    audit.record("project.create", project, actor=actor, after={"name": name})
    for hook in registry.project_hooks:
        hook(project, actor)
    return project


@transaction.atomic
def change_organization(organization: Organization, *, actor: User, **values: str | bool) -> Organization:
    """Set the given columns. Raises InvalidInput for a name that is kept for those who run the site, and for a second factor that
    is to be required by somebody who has none."""
    if is_reserved(values.get("name", "")) and not actor.is_superuser:
        raise InvalidInput.field("name", str(RESERVED_RULE))
    if values.get("requires_mfa") and not organization.requires_mfa and not actor.is_superuser:
        require_factor(actor)
    _change(organization, values)
    audit.record("organization.change", organization, actor=actor, after=values)
    return organization


@transaction.atomic
def change_project(project: Project, *, actor: User, **values: str) -> Project:
    """Set the given columns. Raises InvalidInput when there is one of the name beside it."""
    with name_once():
        _change(project, values)
    audit.record("project.change", project, actor=actor, after=values)
    return project


def _change(row: Organization | Project, values: dict[str, str]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=[*values, "updated_at"])


def _check_number(resource: str, scope: str, rows: QuerySet, limit: int) -> None:
    """Raise QuotaExceeded when there is no room for one more. The caller holds the row that owns them all."""
    if (used := rows.count()) >= limit:
        raise QuotaExceeded(resource=resource, scope=scope, limit=limit, used=used, wanted=1)


def key_text(prefix: str, secret: str) -> str:
    """`mns_<prefix>_<secret><crc>`: recognisable by leak scanners, typos found without a look-up."""
    body = f"{KEY_PREFIX}_{prefix}_{secret}"
    return f"{body}{zlib.crc32(body.encode()):08x}"


@transaction.atomic
def create_api_key(owner: User, *, name: str, actor: User, project: Project | None = None, scopes: list[str] | None = None,
                   expires_at: datetime | None = None, includes_below: bool = False,
                   networks: list[str] | None = None) -> tuple[ApiKey, str]:
    """The key's row and its text, which is shown once and stored nowhere. Raises InvalidInput on unknown scopes and what are no
    networks, ProjectArchived, QuotaExceeded beyond the project's limit, or MOST_KEYS that are neither revoked nor expired."""
    refuse_impersonated(owner)
    if unknown := sorted(set(scopes or ()) - set(registry.permissions)):
        raise InvalidInput.field("scopes", "Unknown: " + ", ".join(unknown))
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput.field("expires_at", "This is in the past.")
    if includes_below and project is None:
        raise InvalidInput.field("includes_below", _("Choose a project first."))
    networks = networks_of(networks or [])
    if project is not None:
        reserve(project, None, {"api_keys": 1})
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    _check_number("api_keys", owner.username, ApiKey.objects.usable().filter(owner=owner), MOST_KEYS)
    prefix = random_secret(64).replace("_", "x").replace("-", "y")[:10]
    text = key_text(prefix, _secret())
    key = ApiKey.objects.create(
        owner=owner, project=project, name=name, prefix=f"{KEY_PREFIX}_{prefix}", secret_hash=digest(text),
        scopes=sorted(set(scopes or [])), expires_at=expires_at, includes_below=includes_below, networks=networks)
    audit.record("apikey.create", key, actor=actor, after={
        "name": name, "prefix": key.prefix, "scopes": key.scopes, **({"networks": networks} if networks else {}),
        **({"owner": str(owner.pk)} if owner != actor else {})})
    return key, text


def networks_of(words: Iterable[str]) -> list[str]:
    """Networks as they are stored, each once. Raises InvalidInput for what is none, or for more than MOST_NETWORKS."""
    found: dict[str, None] = {}
    for word in filter(None, (one.strip() for one in words)):
        try:
            network = ip_network(word)
        except ValueError as error:
            raise InvalidInput.field("networks", _("“{word}” is no network: write it as 192.0.2.0/24 or 2001:db8::/32, with "
                                                   "nothing set behind its length.").format(word=word[:60])) from error
        mapped = network.version == 6 and network.network_address.ipv4_mapped
        if mapped:
            raise InvalidInput.field("networks", _("Write IPv4 networks as such: {network}.").format(
                network=f"{mapped}/{max(network.prefixlen - 96, 0)}"))
        found[str(network)] = None
    if len(found) > MOST_NETWORKS:
        raise InvalidInput.field("networks", _("At most {most}.").format(most=MOST_NETWORKS))
    return list(found)


@transaction.atomic
def rotate_api_key(key: ApiKey, *, actor: User, overlap: timedelta = timedelta(0)) -> tuple[ApiKey, str]:
    """A new secret for the key; the one before is good for `overlap` more. One that was before that ends now. Raises
    InvalidInput beyond LONGEST_OVERLAP, StateConflict for a key that is revoked or expired."""
    refuse_impersonated(key.owner)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput.field("overlap_hours", _("Between 0 and {most}.").format(most=LONGEST_OVERLAP // timedelta(hours=1)))
    key = ApiKey.objects.select_related("owner").select_for_update(of=["self"], no_key=True).get(pk=key.pk)
    now = timezone.now()
    if key.revoked_at or (key.expires_at and key.expires_at <= now):
        raise StateConflict(state=_("revoked") if key.revoked_at else _("expired"))
    text = key_text(key.prefix.removeprefix(f"{KEY_PREFIX}_"), _secret())
    key.previous_hash = key.secret_hash if overlap else ""
    key.previous_until = now + overlap if overlap else None
    key.previous_used_at = key.last_used_at if overlap else None
    key.secret_hash, key.rotated_at = digest(text), now
    key.save(update_fields=["previous_hash", "previous_until", "previous_used_at", "secret_hash", "rotated_at"])
    audit.record("apikey.rotate", key, actor=actor, after={"name": key.name, "prefix": key.prefix,
                                                           "previous_until": key.previous_until})
    return key, text


@transaction.atomic
def end_previous_secret(key: ApiKey, *, actor: User) -> ApiKey:
    """The secret before the rotation is refused from now on; again is success."""
    refuse_impersonated(key.owner)
    key = ApiKey.objects.select_related("owner").select_for_update(of=["self"], no_key=True).get(pk=key.pk)
    if key.previous_hash:
        before = {"name": key.name, "prefix": key.prefix, "previous_until": key.previous_until}
        key.previous_hash, key.previous_until = "", None
        key.save(update_fields=["previous_hash", "previous_until"])
        audit.record("apikey.end_previous", key, actor=actor, before=before)
    return key


@transaction.atomic
def revoke_api_key(key: ApiKey, *, actor: User) -> None:
    """Refused from now on; again is success."""
    refuse_impersonated(key.owner)
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now(), previous_hash="", previous_until=None):
        audit.record("apikey.revoke", key, actor=actor, before={"name": key.name, "prefix": key.prefix})


def refuse_impersonated(owner: User) -> None:
    """Raise Forbidden when an operator acts as the owner: credentials are nobody else's business."""
    if requests.current().on_behalf_of == owner.pk:
        raise NotForAnother


def find_api_key(text: str) -> ApiKey | None:
    """The usable key with this text: not revoked, not expired, owner active. None otherwise, without asking the database for
    what is no key at all. `is_previous` says that it is the secret from before a rotation."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != KEY_PREFIX or not 40 <= len(text) <= LONGEST_KEY or not (
            text.isascii() and text.isprintable()):
        return None
    if f"{zlib.crc32(text[:-8].encode()):08x}" != text[-8:]:
        return None
    key = next(iter(KEY.models(prefix=f"{parts[0]}_{parts[1]}")), None)
    now, sent = timezone.now(), digest(text)
    if key is None or not key.owner.is_active or (key.expires_at and key.expires_at <= now):
        return None
    key.is_previous = bool(key.previous_until and key.previous_until > now and compare_digest(key.previous_hash, sent))
    return key if key.is_previous or compare_digest(key.secret_hash, sent) else None


KEY = Composed(lambda prefix: ApiKey.objects.select_related("owner").filter(prefix=prefix, revoked_at=None), prefix=str)


def admit_api_key(key: ApiKey, address: str | None) -> None:
    """Note that the key was used from there, at most once a minute. Raises AddressNotAllowed, which is audited as often."""
    ago = timezone.now() - NOTED_EVERY
    if not key.allows_address(address):
        if _is_long_ago(key.refused_at, ago) and _once(key, "refused_at", ago):
            audit.refuse("apikey.use", key, actor=key.owner, reason=f"address_not_allowed: {address}")
        raise AddressNotAllowed(address=address or "-")
    if _is_long_ago(key.last_used_at, ago):
        _once(key, "last_used_at", ago, last_used_from=address)
    if key.is_previous and _is_long_ago(key.previous_used_at, ago):
        _once(key, "previous_used_at", ago)


def _is_long_ago(when: datetime | None, ago: datetime) -> bool:
    return when is None or when < ago


def _once(key: ApiKey, field: str, ago: datetime, **further: object) -> bool:
    """Write the time unless somebody else just did; whether it was written."""
    due = ApiKey.objects.filter(Q(**{field: None}) | Q(**{f"{field}__lt": ago}), pk=key.pk)
    return due.update(**{field: timezone.now()}, **further) == 1


def api_key_is_usable(key_id: UUID) -> bool:
    """For long-lived sockets: is the key still good?"""
    now = timezone.now()
    key = ApiKey.objects.filter(pk=key_id, revoked_at=None, owner__is_active=True).first()
    return key is not None and (key.expires_at is None or key.expires_at > now)


def _secret() -> str:
    return random_secret(256).replace("_", "x")
