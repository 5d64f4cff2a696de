"""What somebody wants to be told, and how: as declared, unless they chose otherwise."""
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core import signing
from django.db import transaction
from django.utils.translation import gettext

from portal.kernel import audit
from portal.kernel.declarations import NoticeKind, registry
from portal.kernel.errors import InvalidInput
from portal.kernel.timezones import time_zones
from portal.notices.models import How, Preferences
from tenants.models import User

DIGEST_HOUR = 8
"""On the clock of whoever gets it."""
SALT = "portal.notices.unsubscribe"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A kind with how somebody is told of it; `rings` is None where the bell never does."""

    kind: NoticeKind
    mail: str
    rings: bool | None


def of(user_id: Any) -> Preferences:
    """Unsaved where nothing was chosen."""
    return Preferences.objects.filter(pk=user_id).first() or Preferences(user_id=user_id)


def how(preferences: Preferences | None, kind: NoticeKind) -> str:
    """Never what somebody else's code left there, nor a choice where there is none."""
    chosen = None if preferences is None or kind.is_fixed else preferences.mails.get(kind.name)
    return chosen if chosen in How.values else kind.mail


def choices(preferences: Preferences) -> list[Choice]:
    """All kinds; those that nobody can switch off are last."""
    found = [Choice(kind=kind, mail=how(preferences, kind), rings=(kind.name not in preferences.silent) if kind.rings else None)
             for kind in registry.notices.values()]
    return sorted(found, key=lambda choice: choice.kind.is_fixed)


def next_digest(preferences: Preferences | None, now: datetime) -> datetime:
    """When the day's mail goes out: at eight where they live, or UTC."""
    zone = preferences.time_zone if preferences and preferences.time_zone in time_zones() else "UTC"
    local = now.astimezone(ZoneInfo(zone))
    today = local.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return (today if local < today else today + timedelta(days=1)).astimezone(UTC)


@transaction.atomic
def choose(user: User, *, mails: Mapping[str, str] | None = None, bell: Mapping[str, bool] | None = None,
           time_zone: str | None = None, actor: User | None) -> Preferences:
    """Change what is given; kinds that are not named stay as they are. Raises InvalidInput for unknown kinds, for ways that there
    are not, and for what cannot be switched off."""
    Preferences.objects.bulk_create([Preferences(user=user)], ignore_conflicts=True)
    row = Preferences.objects.select_for_update().get(pk=user.pk)
    before = _told(row)
    row.mails = _mails(row.mails, mails or {})
    row.silent = _silent(row.silent, bell or {})
    if time_zone is not None:
        if time_zone and time_zone not in time_zones():
            raise InvalidInput.field("time_zone", gettext("There is no such time zone."))
        row.time_zone = time_zone
    if _told(row) != before:
        row.save(update_fields=["mails", "silent", "time_zone", "updated_at"])
        audit.record("user.notifications", user, actor=actor, before=before, after=_told(row))
    return row


def _mails(held: dict[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in held.items() if name in registry.notices}
    for name, value in wanted.items():
        kind = registry.notices.get(name)
        if kind is None:
            raise InvalidInput.field("mail", gettext("Unknown: {names}.").format(names=name[:60]))
        if value not in How.values:
            raise InvalidInput.field("mail", gettext("One of: {names}.").format(names=", ".join(How.values)))
        if kind.is_fixed and value != kind.mail:
            raise InvalidInput.field("mail", gettext("“{name}” is always told at once.").format(name=kind.label))
        found.pop(name, None)
        if value != kind.mail:
            found[name] = value
    return found


def _silent(held: list[str], wanted: Mapping[str, bool]) -> list[str]:
    found = set(held) & registry.notices.keys()
    for name, rings in wanted.items():
        kind = registry.notices.get(name)
        if kind is None or not kind.rings:
            raise InvalidInput.field("bell", gettext("Unknown: {names}.").format(names=name[:60]))
        found = found - {name} if rings else found | {name}
    return sorted(found)


def _told(row: Preferences) -> dict[str, Any]:
    return {"mails": dict(row.mails), "silent": list(row.silent), "time_zone": row.time_zone}


# -- the link under every mail that can be switched off --

def unsubscribe_token(user_id: Any, kinds: Iterable[str]) -> str:
    """Good for one thing: to get no more mails of these kinds. It opens nothing, and works as long as the site's key does."""
    return signing.dumps({"user": str(user_id), "kinds": sorted(kinds)}, salt=SALT)


def read_token(token: str) -> tuple[User, list[NoticeKind]]:
    """Whose, and which kinds. Raises InvalidInput for one that is not ours, and for somebody who is gone."""
    try:
        found = signing.loads(token, salt=SALT)
        user = User.objects.get(pk=found["user"], is_active=True)
    except (signing.BadSignature, User.DoesNotExist) as error:
        raise InvalidInput.field("token", gettext("This link is not valid.")) from error
    kinds = [registry.notices[name] for name in found["kinds"] if name in registry.notices]
    return user, [kind for kind in kinds if not kind.is_fixed]


def unsubscribe(token: str) -> list[NoticeKind]:
    """No more mails of the token's kinds; again is success."""
    user, kinds = read_token(token)
    choose(user, mails={kind.name: How.NEVER for kind in kinds}, actor=user)
    return kinds
