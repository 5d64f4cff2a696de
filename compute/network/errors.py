"""What can be wrong with a wish for a network. Each says what to do next."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import PortalError


class NetworkConflict(PortalError):
    """The wish is well formed and collides with what there is."""

    status = 409


class CidrOverlaps(NetworkConflict):
    code = "cidr_overlaps"
    title = _("Overlapping network")
    text = _("{cidr} overlaps {other} ({name}). Choose a range that is free.")


class SubnetFull(NetworkConflict):
    code = "subnet_full"
    title = _("Subnet full")
    text = _("All {size} addresses of the subnet {subnet} ({cidr}) are taken. Delete a port or use another subnet.")


class AddressInUse(NetworkConflict):
    code = "address_in_use"
    title = _("Address in use")
    text = _("{address} belongs to another port of the subnet {subnet}.")


class PoolFull(NetworkConflict):
    code = "address_pool_full"
    title = _("No public address left")
    text = _("All {size} addresses of the public network {pool} are taken. Release one, or ask the operators for more.")


class InUse(NetworkConflict):
    code = "in_use"
    title = _("Still in use")
    text = _("“{name}” is still used by {count} {users}. Remove those first.")


class NoNetwork(NetworkConflict):
    code = "no_network"
    title = _("No networks here")
    text = _("The region {region} has no networks.")


class NoPublicNetwork(NetworkConflict):
    code = "no_public_network"
    title = _("No public network")
    text = _("The region {region} has no public addresses to give out.")


class AlreadyAssociated(NetworkConflict):
    code = "already_associated"
    title = _("Already associated")
    text = _("The port already has the floating IP {address}.")


class TooMany(NetworkConflict):
    """What no quota may lift: a VPC is applied whole, so its size is everybody's waiting time."""

    code = "limit_reached"
    title = _("Limit reached")
    text = _("“{name}” can have at most {most} {things}.")
