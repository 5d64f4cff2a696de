"""Page-shaped reads of one instance: what it consists of, why it runs where it runs, what deleting it does."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.templatetags.money import money
from compute.hosts.models import Verdict
from compute.instances import addresses, wording
from compute.instances.addresses import Address
from compute.instances.models import Instance, Snapshot, SshKey
from compute.network.models import FloatingIp
from compute.network.queries import AddressPrices
from portal.kernel.composed import Composed
from portal.kernel.models import Resource
from storage.models import Attachment, Volume


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """Placement's view of one host, in words; the host is empty for tenants."""

    host: Any
    is_chosen: bool
    text: str
    weight: float | None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an instance consists of."""

    volumes: Sequence[Volume]
    keys: Sequence[SshKey]
    addresses: Sequence[Address]
    opinions: Sequence[Opinion]

    @classmethod
    def of(cls, instance: Instance, user: Any) -> "Parts":
        volumes, keys = _volumes_and_keys(instance)
        return cls(volumes=volumes, keys=keys, addresses=addresses.addresses(instance),
                   opinions=opinions(instance, user))


def volumes_of(instance: Instance) -> list[Volume]:
    rows = Volume.objects.filter(attachment__domain=instance.pk).select_related("attachment")
    return list(rows.order_by("attachment__target"))


def _volumes_and_keys(instance: Instance) -> tuple[list[Volume], list[SshKey]]:
    """Its volumes, and those of its keys that the project still has; one statement over all resources."""
    rows = BELONGING.models(instance=instance.pk, project=instance.project_id, keys=instance.public_keys)
    volumes = sorted((row.volume for row in rows if row.kind == Volume.KIND), key=lambda volume: volume.attachment.target)
    return volumes, [row.ssh_key for row in rows if row.kind == SshKey.KIND]


def _belonging(instance: UUID, project: UUID, keys: list[str]) -> QuerySet[Resource]:
    mine = Q(kind=Volume.KIND, pk__in=Attachment.objects.filter(domain=instance).values("volume"))
    known = Q(kind=SshKey.KIND, ssh_key__public_key__any_of=keys)
    return Resource.objects.live().filter(mine | known, project=project).select_related(
        "volume__attachment", "ssh_key").order_by("name", "pk")


BELONGING = Composed(_belonging, instance=UUID, project=UUID, keys=list[str])


def opinions(instance: Instance, user: Any) -> list[Opinion]:
    """Per host for operators; for tenants only why nothing was found, without names."""
    sees_hosts = user.grants.sees_everything
    if instance.host_id is not None and not sees_hosts:
        return []
    found = Verdict.objects.filter(consumer=instance.pk).select_related("host")
    rows = list(found.order_by("-is_chosen", F("weight").desc(nulls_last=True), "pk"))
    if sees_hosts:
        return [Opinion(host=row.host, is_chosen=row.is_chosen, weight=row.weight,
                        text=wording.reason(row.reason) if row.reason else "") for row in rows]
    return [Opinion(host=None, is_chosen=False, weight=None, text=text)
            for text in sorted({wording.reason(row.reason) for row in rows if row.reason})]


def have_snapshots() -> Any:
    """For instances: whether there are snapshots of it."""
    return Exists(Snapshot.objects.live().filter(of_instance=OuterRef("pk")))


def _has_snapshots(instance: Instance) -> bool:
    known = getattr(instance, "has_snapshots", None)  # its page has read it along with it
    return Snapshot.objects.live().filter(of_instance=instance).exists() if known is None else known


def effects_of_deleting(instance: Instance, volumes: Sequence[Volume], floating: Sequence[FloatingIp], *,
                        with_volumes: bool = False) -> list[str]:
    """Everything that deleting it does, in sentences."""
    effects = [_("The instance and what runs in it end at once; there is no way back.")]
    kept = [] if with_volumes else [volume for volume in volumes if not volume.attachment.is_boot]
    volumes = [volume for volume in volumes if volume not in kept]
    if volumes:
        effects.append(ngettext("%(count)s volume of %(size)s GiB is deleted with all data on it.",
                                "%(count)s volumes, together %(size)s GiB, are deleted with all data on them.",
                                len(volumes)) % {"count": len(volumes), "size": sum(volume.size_gib for volume in volumes)})
    effects += [_("The volume %(name)s is detached. It stays, and costs as before until you delete it.") % {"name": volume.name}
                for volume in kept]
    if _has_snapshots(instance):
        effects.append(_("All its snapshots are deleted."))
    prices = AddressPrices.now({row.pool for row in floating}) if floating else None
    for row in floating:
        price = prices.idle(row.pool)
        cost = _("and goes on costing %(price)s a month until you release it") % {"price": money(price)} if price else _(
            "and is billed as idle until you release it")
        effects.append(_("The floating IP %(address)s stays yours, %(cost)s.") % {"address": row.address, "cost": cost})
    return [*effects, _("Billing of the instance stops at once.") if kept else _(
        "Billing of the instance and its volumes stops at once.")]


def effects_of_recycling(instance: Instance, volumes: Sequence[Volume], floating: Sequence[FloatingIp]) -> list[str]:
    """Everything that deleting it into the recycle bin does, in sentences."""
    days = settings.RECYCLE_DAYS
    return [_("Its power is cut; what is only in its memory is lost."),
            ngettext("It waits in the recycle bin and can be restored for %(days)s day. Then it is deleted for good.",
                     "It waits in the recycle bin and can be restored for %(days)s days. Then it is deleted for good.",
                     days) % {"days": days},
            _("Volumes, network cards and floating IPs stay with it, count in quotas and cost as before.")]


EFFECTS = {"delete": effects_of_recycling, "purge": effects_of_deleting}


def floating_of(found: Sequence[Address]) -> list[FloatingIp]:
    return [address.floating for address in found if address.floating is not None]
