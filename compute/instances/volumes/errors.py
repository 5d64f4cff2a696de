"""What can be wrong with a verb on a volume."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import NoCapacity, PortalError


class VolumeElsewhere(PortalError):
    """Its file is on one host, and the instance on another."""

    code, status = "volume_elsewhere", 409
    title = _("On another host")
    text = _("“{volume}” lies on another host than “{instance}”, and a volume is used only where it lies. Choose an instance of "
             "that host, or create a volume for this instance.")


class TooManyVolumes(PortalError):
    """An instance has so many places for disks, and no more."""

    code, status = "too_many_volumes", 409
    title = _("Too many volumes")
    text = _("“{name}” has {count} volumes beside its root volume, and takes no more than {most}. Detach one first.")


class IsRootVolume(PortalError):
    """What an instance starts from is not taken out of it."""

    code, status = "root_volume", 409
    title = _("Root volume")
    text = _("“{name}” is the disk that its instance starts from: it comes and goes with it.")


class GuestKeepsVolume(PortalError):
    """The guest was asked to let go of it, and did not answer."""

    code, status = "guest_keeps_volume", 409
    title = _("The guest keeps it")
    text = _("The guest did not let go of the volume within {seconds} seconds, so it stays attached. Unmount it in the guest and "
             "try again, or stop the instance first.")


class NoRoomForVolume(NoCapacity):
    """As ever, of pools."""

    text = _("No storage has room for so much now. Choose a smaller size or another zone, or try later.")
