"""How far an API key reaches, and who may change it. What is done with keys is in `operations`."""
from ipaddress import ip_network
from typing import Any

from tenants import service_users
from tenants.models import ApiKey, Project, ServiceUser, User


def reaches_further(key: ApiKey, wanted: dict[str, Any]) -> bool:
    """Whether a new key of these values could do more than the key with which it is asked for."""
    scopes, expires_at = set(wanted.get("scopes") or ()), wanted.get("expires_at")
    return bool((key.scopes and (not scopes or not scopes <= set(key.scopes)))
                or not _is_inside(key, wanted.get("project"), bool(wanted.get("includes_below")))
                or (key.expires_at and (expires_at is None or expires_at > key.expires_at))
                or (key.networks and not _come_from_there(key.networks, wanted.get("networks") or [])))


def _is_inside(key: ApiKey, project: Project | None, includes_below: bool) -> bool:
    if key.project_id is None:
        return True
    if project is None:
        return False
    if key.includes_below:
        return str(key.project_id) in project.path
    return project.pk == key.project_id and not includes_below


def _come_from_there(allowed: list[str], wanted: list[str]) -> bool:
    """Whether all wanted networks lie in allowed ones. What is no network is refused elsewhere."""
    try:
        networks = [ip_network(one) for one in wanted]
    except ValueError:
        return True
    known = [ip_network(one) for one in allowed]
    return bool(networks) and all(any(one.version == other.version and one.subnet_of(other) for other in known)
                                  for one in networks)


def require_manager(key: ApiKey, *, actor: User) -> None:
    """Raise Forbidden where a new secret of the key would give the actor more than they could give: of service users, since
    nobody else's keys are visible."""
    if key.owner_id != actor.pk:
        service_users.require_all_of(ServiceUser.objects.select_related("user", "project").get(pk=key.owner_id), actor=actor)
