"""Who gets which address: the lowest free one, taken under the lock of what it is taken from. Nothing else gives any out."""
import secrets
from ipaddress import IPv4Address, IPv4Network

from django.db import transaction

from compute.network.errors import AddressInUse, PoolFull, SubnetFull
from compute.network.models import AddressPool, Allocation, Port, Subnet
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region, Resource

# Locally administered ("0a"), then the portal's mark; four random bytes follow, and the column is unique.
MAC_PREFIX = bytes((0x0A, 0x4D))


def new_mac() -> str:
    return (MAC_PREFIX + secrets.token_bytes(4)).hex(":")


def free_address(subnet: Subnet, wanted: IPv4Address | None = None) -> str:
    """A free address of the subnet, or the wanted one. The caller holds the VPC's row. Raises SubnetFull or AddressInUse."""
    taken = set(Port.objects.filter(subnet=subnet, ip__isnull=False).values_list("ip", flat=True))
    if wanted is not None:
        if not subnet.may_have(wanted):
            raise InvalidInput.field("ip", f"{wanted} is no address for ports of {subnet.cidr}.")
        if str(wanted) in taken:
            raise AddressInUse(address=str(wanted), subnet=subnet.name)
        return str(wanted)
    if len(taken) < subnet.size:
        for address in subnet.cidr.hosts():
            if str(address) not in taken and subnet.may_have(address):
                return str(address)
    raise SubnetFull(subnet=subnet.name, cidr=str(subnet.cidr), size=subnet.size)


def open_pool(region: Region, *, lock: bool = False) -> AddressPool | None:
    """The public network that the region's VPCs go out by; None when there is none."""
    pools = AddressPool.objects.filter(region=region, is_open=True).order_by("name", "pk")
    return (pools.select_for_update(no_key=True) if lock else pools).first()


@transaction.atomic
def allocate(pool: AddressPool, resource: Resource) -> Allocation:
    """A public address for the resource. Raises PoolFull."""
    AddressPool.objects.select_for_update(no_key=True).get(pk=pool.pk)
    taken = set(Allocation.objects.filter(pool=pool).values_list("address", flat=True))
    first, last = int(IPv4Address(pool.first)), int(IPv4Address(pool.last))
    for number in range(first, last + 1):
        address = str(IPv4Address(number))
        if address not in taken and address != pool.gateway:
            return Allocation.objects.create(pool=pool, resource_id=resource.pk, address=address)
    raise PoolFull(pool=pool.name, size=last - first + 1)


def give_back(resource: Resource) -> None:
    """The resource's public address is free again; again is success."""
    Allocation.objects.filter(resource_id=resource.pk).delete()


def gateway_of(cidr: IPv4Network) -> str:
    """The usual one: the first address."""
    return str(cidr.network_address + 1)
