"""Links to look at a screen: made by who may open the console, good for who is signed in and sees the instance.

The link's secret is told once and travels in the address's fragment, which no server and no log sees. A link is worth what its
maker may: it dies with their right (or their API key's), with the start of the instance for which it was made, and in time.
"""
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from compute.instances.console.models import ConsoleLink
from compute.instances.console.principals import Principal
from compute.instances.models import ON_SCREEN, Instance
from portal.kernel import audit
from portal.kernel.errors import NotFound, PortalError, StateConflict
from portal.kernel.secrets import digest, random_secret
from portal.kernel.states import database_now
from tenants.access import Grants
from tenants.models import User
from tenants.operations import refuse_impersonated

LONGEST_MINUTES = 24 * 60
MOST_LIVE = 20
CONSOLE = "instance.console"


class LinkRefused(PortalError):
    """Unknown, revoked, expired, of another start, or of a maker who may not any more: deliberately the same answer."""

    code, status = "link_refused", 403
    title = _("Link refused")
    text = _("This link to a console is unknown, revoked or expired, the instance was restarted since, or whoever made it may "
             "not open the console any more. Ask for a new one.")


class TooManyLinks(PortalError):
    code, status = "too_many_links", 409
    title = _("Too many links")
    text = _("{used} links to this console are valid, and no more than {limit} may be. Revoke one first.")


def links_of(instance: Instance) -> QuerySet[ConsoleLink]:
    """Those that may still be good, newest first."""
    return (ConsoleLink.objects.live().filter(instance=instance, generation=instance.generation).select_related("maker")
            .order_by("-created_at", "pk"))


def make_link(instance: Instance, *, minutes: int, actor: User, principal: Principal) -> tuple[ConsoleLink, str]:
    """The link's row and its secret, which is told once and stored nowhere. Raises StateConflict unless it runs, NotForAnother
    when an operator acts as the user."""
    refuse_impersonated(actor)  # the link would be good long after that
    with transaction.atomic():
        instance = Instance.objects.select_for_update(no_key=True, of=("self",)).only(
            "pk", "state", "generation", "project", "name").get(pk=instance.pk)
        _require_on_screen(instance)
        used = links_of(instance).count()
        if used >= MOST_LIVE:
            raise TooManyLinks(used=used, limit=MOST_LIVE)
        secret = random_secret(256)
        row = ConsoleLink.objects.create(
            instance=instance, maker=actor, api_key=principal.api_key, secret_hash=digest(secret),
            generation=instance.generation, expires_at=database_now() + timedelta(minutes=minutes))
        audit.record("console.link", instance, actor=actor, after={"minutes": minutes})
    return row, secret


def revoke_link(instance: Instance, link: UUID, *, actor: User) -> None:
    """Nobody gets in by it any more, and who is in is out within seconds. Again is success. Raises NotFound for another's."""
    with transaction.atomic():
        rows = ConsoleLink.objects.filter(instance=instance, pk=link)
        if rows.filter(revoked_at=None).update(revoked_at=Now()):
            audit.record("console.unlink", instance, actor=actor)
        elif not rows.exists():
            raise NotFound


def find_link(instance: Instance, secret: str) -> ConsoleLink:
    """The live link. Raises StateConflict unless the instance runs, and LinkRefused."""
    _require_on_screen(instance)
    link = (ConsoleLink.objects.filter(instance=instance, secret_hash=digest(secret)).select_related("maker", "api_key")
            .first())
    if link is None or why_dead(link, instance, database_now()):
        raise LinkRefused
    return link


def why_dead(link: ConsoleLink, instance: Instance, now: datetime, grants_of: Callable[[User], Grants] | None = None) -> str:
    """Why nobody may look by it (any more); empty while they may. Wants `maker` and `api_key` selected."""
    key = link.api_key
    if link.revoked_at is not None:
        return "link_revoked"
    if link.expires_at <= now:
        return "link_expired"
    if link.generation != instance.generation:
        return "restarted"
    if not link.maker.is_active or (key is not None and (key.revoked_at or (key.expires_at and key.expires_at <= now))):
        return "link_without_maker"
    grants = grants_of(link.maker) if grants_of else link.maker.grants
    grants = grants if key is None else grants.narrowed_by(key)
    return "" if grants.may(CONSOLE, instance.project_id) else "link_without_maker"


def _require_on_screen(instance: Instance) -> None:
    if instance.state not in ON_SCREEN:
        raise StateConflict(state=instance.state, legal=",".join(sorted(ON_SCREEN)))
