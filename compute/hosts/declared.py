"""What rooms to the right tell about places, so that hosts need not know them."""
from collections.abc import Callable

from portal.kernel.models import Region

NetworkRoom = Callable[[Region], bool]
network_rooms: list[NetworkRoom] = []
"""Each says whether a region has networks that its hosts must be part of. Appended by `ready()` of such a room."""


def has_networks(region: Region) -> bool:
    return any(room(region) for room in network_rooms)


ChassisListener = Callable[[Region], None]
chassis_listeners: list[ChassisListener] = []
"""Each is told, in the transaction of the change, that a host of the region is another chassis than before, or a gateway."""


def tell_chassis_changed(region: Region) -> None:
    for listener in chassis_listeners:
        listener(region)
