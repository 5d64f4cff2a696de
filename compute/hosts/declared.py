"""What rooms to the right tell about places, so that hosts need not know them."""
from collections.abc import Callable

from portal.kernel.models import Region

NetworkRoom = Callable[[Region], frozenset[str] | None]
network_rooms: list[NetworkRoom] = []
"""Each tells the physical networks by which a region's private ones go out, as hosts' bridge mappings name them; None when
the region has no networks that its hosts must be part of. Appended by `ready()` of such a room."""


def has_networks(region: Region) -> bool:
    return any(room(region) is not None for room in network_rooms)


def public_networks(region: Region) -> frozenset[str]:
    return frozenset().union(*(room(region) or () for room in network_rooms))


ChassisListener = Callable[[Region], None]
chassis_listeners: list[ChassisListener] = []
"""Each is told, in the transaction of the change, that a host of the region is another chassis than before, or a gateway."""


def tell_chassis_changed(region: Region) -> None:
    for listener in chassis_listeners:
        listener(region)
