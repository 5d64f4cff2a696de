"""What can be wrong with a verb on an instance."""
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import Locked, NoCapacity, PortalError


class NotSupported(PortalError):
    """The hypervisor of its host lacks what the verb needs."""

    code, status = "not_supported", 409
    title = _("Not supported")
    text = _("The host of “{name}” cannot do this.")


class ClassForbids(NotSupported):
    """Its class of virtual hardware rules it out (`abilities`)."""

    text = _("The virtual hardware of “{name}” rules this out: {reason}")


class InstanceLocked(Locked):
    """No verb is done to it until it is unlocked, and its addresses, security groups and volumes stay as they are."""


class InstanceProtected(PortalError):
    """It is protected against being deleted."""

    code, status = "protected", 409
    title = _("Protected")
    text = _("“{name}” is protected against being deleted. Switch its termination protection off first.")


class NeedsRestart(PortalError):
    """It comes to that size only by another start, which nobody has allowed."""

    code, status = "needs_restart", 409
    title = _("It would be restarted")
    text = _("“{name}” does not come to this size while it runs: {reason} Allow the restart, or stop it first.")


class NoRoomOnHost(NoCapacity):
    """As ever, of the one host that it can be on."""

    text = _("The host of “{name}” has not so much room now, and its disk is on that host. Choose a smaller size, or try later.")


class NoRoomForCopy(NoCapacity):
    """As ever, of the one host that has the disk which is copied."""

    text = _("The host of “{name}” takes no other one now, and the disk that is copied is on that host. Try later, or create an "
             "image and start from that.")


class NoRoomForImage(NoRoomForCopy):
    """Of the host's pool or the portal's store, by what is free there in fact: a copy is written at once."""

    text = _("There is not room enough now for an image of “{name}”. Try later.")


class NotOffered(PortalError):
    """Something new would be of a type that is for what runs alone."""

    code, status = "not_offered", 409
    title = _("Not offered any more")
    text = _("The type “{type}” is not offered any more: nothing new of it is made.")


class NotWhileRunning(NotSupported):
    """Its hypervisor does it to what is off alone."""

    text = _("The host of “{name}” cannot do this while it runs. Stop it first.")


class NoNetworkOnHost(NotSupported):
    """It was made where there were no networks, and its disk is on that host."""

    text = _("The host of “{name}” is not connected to the networks of its region.")


class HasFloatingIp(PortalError):
    """Who is reached by an address from outside does not lose it by the way."""

    code, status = "has_floating_ip", 409
    title = _("It has a floating IP")
    text = _("The network card {ip} has the floating IP {address}. Disassociate it first.")


class GuestKeepsCard(PortalError):
    """It was asked, and did not answer."""

    code, status = "guest_keeps_it", 409
    title = _("The guest did not let go")
    text = _("The guest of “{name}” did not let go of the network card {ip} within {seconds} s; everything stays as it was. Try "
             "again when its system has started, or stop it first.")


class NoGuestAgent(PortalError):
    """It takes a program in the guest, and none answers there."""

    code, status = "no_guest_agent", 409
    title = _("No guest agent")
    text = _("No guest agent answers in “{name}”. Install the package qemu-guest-agent in it and start its service; it is asked "
             "again every minute.")
