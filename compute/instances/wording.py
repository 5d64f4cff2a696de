"""Sentences for the codes that placement and hosts speak in. No logic."""
from typing import Any

from django.utils.translation import gettext_lazy as _

# Why a host was not taken. Said to operators with the host's name, to tenants without it.
REASONS: dict[str, Any] = {
    "other_zone": _("in another zone"),
    "not_ready": _("not ready yet"),
    "unreachable": _("does not answer"),
    "in_maintenance": _("in maintenance"),
    "only_observed": _("only observed"),
    "no_vcpu": _("not enough free vCPUs"),
    "no_memory_mib": _("not enough free memory"),
    "no_network": _("without a network"),
    "no_class": _("without the virtual hardware of this type"),
    "no_disk": _("not enough space in its pool"),
    "no_host": _("there is no host yet"),
    "subnet_full": _("not enough free addresses in the subnet"),
    "address_pool_full": _("not enough free public addresses"),
    "taken_meanwhile": _("taken by somebody else meanwhile"),
}
# What a host says of a domain (`observed_state`).
OBSERVED: dict[str, Any] = {
    "running": _("running"), "off": _("switched off"), "paused": _("paused"), "suspended": _("suspended to disk"),
    "crashed": _("crashed"),
    "absent": _("not there"), "missing": _("not there"), "unknown": _("unknown"),
}
# Which observation goes with which state of ours.
EXPECTED = {"running": "running", "stopped": "off", "paused": "paused", "suspended": "suspended", "rescued": "running",
            "recycled": "off"}


def reason(code: str) -> str:
    return str(REASONS.get(code, code))


def observed(code: str) -> str:
    return str(OBSERVED.get(code, code))
