"""Volumes whose files somebody took away by hand. They are told to their owners and to operators, and nothing is written in their
place: what starts without its disk is refused by its host."""
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from compute.hosts.models import Discovered
from compute.instances.following import may_hear, those_who_operate
from compute.instances.models import Instance
from portal.kernel import audit, live
from portal.kernel.declarations import NoticeKind
from storage.models import Attachment, Pool, Volume

log = structlog.get_logger(__name__)
KIND, LOST, FOUND = "lost_volume", "volume.file_lost", "volume.file_found"
# A file may be younger than the list that it is missed in.
GRACE = timedelta(seconds=60)
THERE = (Volume.State.AVAILABLE, Volume.State.IN_USE)

NOTICE = NoticeKind(
    name=KIND, label=_("Volumes whose files are gone"),
    hint=_("When somebody took the file of a volume away from its host, or put it back."),
    receivers=those_who_operate, may_hear=may_hear, mail="now", target_page="volumes:detail", acts={
        LOST: _("The file of the volume “%(target)s” of %(place)s is not on its host any more. Nothing is written in its place; "
                "ask your operators."),
        FOUND: _("The file of the volume “%(target)s” of %(place)s is on its host again.")})


def look_for(pool: Pool, there: Collection[str], now: datetime) -> None:
    """Compare what the pool has with what it should have; both ways it is told once."""
    known = set(Discovered.objects.filter(host=pool.host, kind=KIND, facts__pool=str(pool.pk)).values_list("key", flat=True))
    rows = Volume.objects.live().filter(pool=pool).exclude(locator="")
    settled = rows.filter(hold=None, state__in=THERE, state_changed_at__lt=now - GRACE)
    missing = [pk for pk, locator in settled.values_list("pk", "locator") if _name(locator) not in there]
    new = [pk for pk in missing if str(pk) not in known]
    for volume in Volume.objects.select_related("project__organization").filter(pk__in=new):
        _lose(pool, volume, now)
    if known:
        kept = {str(pk) for pk in missing}
        Discovered.objects.filter(host=pool.host, kind=KIND, key__in=kept).update(last_seen_at=now)
        held = {str(pk) for pk in rows.filter(pk__in=known - kept, hold__isnull=False).values_list("pk", flat=True)}
        _find(pool, known - kept - held, there)


def _name(locator: str) -> str:
    return locator.rpartition("/")[2]


@transaction.atomic
def _lose(pool: Pool, volume: Volume, now: datetime) -> None:
    log.warning("reconcile.lost_file", pool=str(pool.pk), volume=str(volume.pk))
    _made, is_new = Discovered.objects.update_or_create(
        host=pool.host, kind=KIND, key=str(volume.pk),
        defaults={"name": volume.name, "last_seen_at": now, "facts": {"pool": str(pool.pk), "file": _name(volume.locator)}})
    if is_new:
        audit.record(LOST, volume, actor=None, after={"file": _name(volume.locator)})
        _touch(volume)


@transaction.atomic
def _find(pool: Pool, keys: Collection[str], there: Collection[str]) -> None:
    """Also what was deleted meanwhile, or moved to another pool, is missed no longer; of that nothing is told."""
    Discovered.objects.filter(host=pool.host, kind=KIND, key__in=keys).delete()
    for volume in Volume.objects.live().select_related("project__organization").filter(pk__in=keys, pool=pool):
        if _name(volume.locator) in there:
            audit.record(FOUND, volume, actor=None, after={"file": _name(volume.locator)})
        _touch(volume)


def _touch(volume: Volume) -> None:
    live.touch(volume)
    for instance in Instance.objects.filter(pk__in=Attachment.objects.filter(volume=volume).values("domain")):
        live.touch(instance)


def is_lost(volume: Volume) -> bool:
    return Discovered.objects.filter(kind=KIND, key=str(volume.pk)).exists()


def have_lost() -> Any:
    """For instances: whether a volume of it is lost."""
    theirs = Attachment.objects.filter(domain=OuterRef(OuterRef("pk"))).annotate(key=Cast("volume_id", CharField())).values("key")
    return Exists(Discovered.objects.filter(kind=KIND, key__in=theirs))
