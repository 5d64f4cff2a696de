"""What can be wrong with a snapshot."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import NoCapacity, PortalError


class TooManySnapshots(PortalError):
    code, status = "too_many_snapshots", 409
    title = _("Too many snapshots")
    text = _("“{name}” has {most} snapshots, which is the most. Delete one first.")


class HasSnapshots(PortalError):
    """What is asked would destroy them."""

    code, status = "has_snapshots", 409
    title = _("It has snapshots")
    text = _("“{name}” has {count} snapshots, which lie in the volume that would be erased. Delete them first.")


class OtherVolumes(PortalError):
    """It has not the volumes that the snapshot is of."""

    code, status = "other_volumes", 409
    title = _("It has other volumes now")
    text = _("“{name}” has not the volumes that it had at this snapshot (gone since: {gone}; new since: {new}). Attach and "
             "detach them first, so that they are the same again.")


class OtherHardware(PortalError):
    """Memory fits only what it was saved of; the volumes alone do go back."""

    code, status = "other_hardware", 409
    title = _("It has other hardware now")
    text = _("“{name}” has other hardware than at this snapshot, whose memory does not fit it ({what}: {then} then, {now} now). "
             "Make that the same again, or revert its volumes alone.")


class NoRoomForSnapshot(NoCapacity):
    """Of the host's pool: memory is written there at once."""

    text = _("There is not room enough on the host of “{name}” now for the memory of this snapshot. Take one without memory, or "
             "try later.")
