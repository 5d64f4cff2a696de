"""What hosts, pools and fabrics have and the rows do not know, and the reverse: read after a restore. Nothing is changed."""
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from compute.hosts.connections import hypervisor
from compute.hosts.models import Host
from compute.instances.models import Instance, InstanceState
from compute.network.connections import fabric
from compute.network.fabric.contract import FabricFault
from compute.network.models import AddressPool, Fabric, Vpc
from portal.kernel.errors import HostFault
from portal.kernel.models import Resource
from storage.connections import volume_pool
from storage.models import Pool

SURE_ABSENT = (InstanceState.DELETED, InstanceState.ERROR, InstanceState.BUILDING)


@dataclass(frozen=True, kw_only=True)
class Stray:
    """One difference: where, what sort of thing, which, and what is the matter."""

    place: str
    sort: str
    name: str
    fact: str


def find() -> Iterator[Stray]:
    """Ask every followed host, its pools, and every fabric. One that does not answer is itself a finding."""
    for host in Host.objects.followed().select_related("endpoint", "region").order_by("name"):
        try:
            yield from _on_host(host)
            for pool in host.pools.select_related("host__endpoint"):
                yield from _in_pool(host, pool)
        except HostFault as error:
            yield Stray(place=host.name, sort="host", name=host.name, fact=f"was not asked: {error.detail}")
    for row in Fabric.objects.select_related("region"):
        try:
            yield from _in_fabric(row)
        except FabricFault as error:
            yield Stray(place=row.region.slug, sort="fabric", name=row.region.slug, fact=f"was not asked: {error.detail}")


def _on_host(host: Host) -> Iterator[Stray]:
    with hypervisor(host) as driver:
        seen = {view.uuid: view for view in driver.domains()}
    rows = Instance.objects.filter(pk__in=seen).values_list("pk", "state", "host")
    # What failed halfway through a rebuild keeps its place.
    known = {pk: "" if state == InstanceState.ERROR and place else state for pk, state, place in rows}
    for pk, view in seen.items():
        if view.is_ours and pk not in known:
            yield Stray(place=host.name, sort="domain", name=str(pk), fact=f"is ours, {view.power.value}, and no row knows it")
        elif view.is_ours and known[pk] in (InstanceState.DELETED, InstanceState.ERROR):
            yield Stray(place=host.name, sort="domain", name=str(pk),
                        fact=f"is {view.power.value}; its row says {known[pk]}: it is removed when work goes on")
    missing = Instance.objects.filter(host=host).exclude(state__in=SURE_ABSENT).exclude(pk__in=seen)
    for pk, name in missing.values_list("pk", "name"):
        yield Stray(place=host.name, sort="instance", name=f"{name} ({pk})", fact="has a row, and the host does not have it")


def _in_pool(host: Host, pool: Pool) -> Iterator[Stray]:
    with volume_pool(pool) as driver:
        files = {file.name: key for file in driver.volumes() if (key := _key_of(file.name))}
    known = set(Resource.objects.filter(pk__in=files.values()).values_list("pk", flat=True))
    for name, key in files.items():
        if key not in known:
            yield Stray(place=f"{host.name}/{pool.name}", sort="file", name=name,
                        fact="bears a name of ours, and no row knows it")


def _key_of(file: str) -> UUID | None:
    """Of files of volumes and set-up drives: whose they are."""
    kind, _dash, rest = file.partition("-")
    try:
        return UUID(rest.rsplit(".", 1)[0]) if kind in ("volume", "seed", "rescue") else None
    except ValueError:
        return None


def _in_fabric(row: Fabric) -> Iterator[Stray]:
    with fabric(row) as driver:
        owners = set(driver.owners())
    known = set(Vpc.objects.live().filter(region=row.region_id).values_list("pk", flat=True))
    known |= set(AddressPool.objects.filter(region=row.region_id).values_list("pk", flat=True))
    for owner in sorted(owners - known):
        yield Stray(place=row.region.slug, sort="network", name=str(owner),
                    fact="is ours, and no live row knows it: it is removed when work goes on")
