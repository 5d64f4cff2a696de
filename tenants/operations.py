"""Verbs on tenants: organizations, projects, bindings, API keys. The caller has checked access."""
import zlib
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.kernel import audit
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput, QuotaExceeded
from portal.kernel.secrets import digest, random_secret
from tenants.models import ApiKey, Organization, Project, Quota, User
from tenants.names import RESERVED_RULE, is_reserved
from tenants.roles import bind
from tenants.standing import lock_organization, name_once, require_open

KEY_PREFIX = "mns"
# More than anybody needs: each request reads the projects of its caller, and each key has an allowance of requests of its own.
MOST_PROJECTS, DEEPEST, MOST_KEYS = 1000, 10, 100


@transaction.atomic
def create_organization(name: str, *, owner: User, actor: User | None,
                        plan: str = Organization.Plan.STANDARD) -> Organization:
    """An organization with its owner bound."""
    organization = Organization.objects.create(name=name, plan=plan)
    bind(owner, "owner", organization)
    audit.record("organization.create", organization, actor=actor,
                 after={"name": name, "plan": plan, "owner": owner.username})
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
def change_organization(organization: Organization, *, actor: User, **values: str) -> Organization:
    """Set the given columns. Raises InvalidInput for a name that is kept for those who run the site."""
    if is_reserved(values.get("name", "")) and not actor.is_superuser:
        raise InvalidInput.field("name", str(RESERVED_RULE))
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


@transaction.atomic
def set_quotas(project: Project, limits: list[dict], *, actor: User) -> None:
    """Set the project's own limits: [{"region", "resource", "limit"}]. Raises InvalidInput on unknown dimensions."""
    for number, wanted in enumerate(limits):
        if wanted["resource"] not in registry.dimensions:
            known = ", ".join(sorted(registry.dimensions))
            raise InvalidInput.field(f"limits.{number}.resource", f"Not one of: {known}")
    for wanted in limits:
        Quota.objects.update_or_create(project=project, organization=None, region=wanted["region"],
                                       dimension=wanted["resource"], defaults={"limit": wanted["limit"]})
    audit.record("project.quotas", project, actor=actor, after={
        f"{wanted['region'].slug}.{wanted['resource']}": wanted["limit"] for wanted in limits})


def _check_number(resource: str, scope: str, rows: QuerySet, limit: int) -> None:
    """Raise QuotaExceeded when there is no room for one more. The caller holds the row that owns them all."""
    if (used := rows.count()) >= limit:
        raise QuotaExceeded(resource=resource, scope=scope, limit=limit, used=used, wanted=1)


def key_text(prefix: str, secret: str) -> str:
    """`mns_<prefix>_<secret><crc>`: recognisable by leak scanners, typos found without a look-up."""
    body = f"{KEY_PREFIX}_{prefix}_{secret}"
    return f"{body}{zlib.crc32(body.encode()):08x}"


@transaction.atomic
def create_api_key(owner: User, *, name: str, actor: User, project: Project | None = None,
                   scopes: list[str] | None = None, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """The key's row and its text, which is shown once and stored nowhere. Raises InvalidInput on unknown scopes,
    ProjectArchived, QuotaExceeded beyond MOST_KEYS that are neither revoked nor expired."""
    if unknown := sorted(set(scopes or ()) - set(registry.permissions)):
        raise InvalidInput.field("scopes", "Unknown: " + ", ".join(unknown))
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput.field("expires_at", "This is in the past.")
    if project is not None:
        require_open(project)
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    usable = ApiKey.objects.filter(owner=owner, revoked_at=None).exclude(expires_at__lte=timezone.now())
    _check_number("api_keys", owner.username, usable, MOST_KEYS)
    prefix, secret = random_secret(64).replace("_", "x").replace("-", "y")[:10], random_secret(256).replace("_", "x")
    text = key_text(prefix, secret)
    key = ApiKey.objects.create(owner=owner, project=project, name=name, prefix=f"{KEY_PREFIX}_{prefix}",
                                secret_hash=digest(text), scopes=scopes or [], expires_at=expires_at)
    audit.record("apikey.create", key, actor=actor, after={"name": name, "prefix": key.prefix, "scopes": key.scopes})
    return key, text


@transaction.atomic
def revoke_api_key(key: ApiKey, *, actor: User) -> None:
    """Refused from now on; again is success."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record("apikey.revoke", key, actor=actor, before={"name": key.name, "prefix": key.prefix})


def find_api_key(text: str) -> ApiKey | None:
    """The usable key with this text: not revoked, not expired, owner active. None otherwise."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != KEY_PREFIX or len(text) < 40:
        return None
    if f"{zlib.crc32(text[:-8].encode()):08x}" != text[-8:]:
        return None
    key = ApiKey.objects.select_related("owner").filter(prefix=f"{parts[0]}_{parts[1]}", revoked_at=None).first()
    now = timezone.now()
    if key is None or key.secret_hash != digest(text) or (key.expires_at and key.expires_at <= now):
        return None
    return key if key.owner.is_active else None


def note_use(key: ApiKey) -> None:
    """Remember the use, at most once a minute a key."""
    now = timezone.now()
    if key.last_used_at is None or (now - key.last_used_at).total_seconds() > 60:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def api_key_is_usable(key_id: UUID) -> bool:
    """For long-lived sockets: is the key still good?"""
    now = timezone.now()
    key = ApiKey.objects.filter(pk=key_id, revoked_at=None, owner__is_active=True).first()
    return key is not None and (key.expires_at is None or key.expires_at > now)
