"""Sentences and tones for the states and rules of networks. No logic beyond choosing a word."""
from typing import Any

from django.utils.translation import gettext_lazy as _

from compute.network.models import SecurityGroupRule, Vpc

# state → (tone, label)
VPC_STATES: dict[str, tuple[str, Any]] = {
    "active": ("ok", _("Active")), "pending": ("busy", _("Being changed")), "refused": ("bad", _("Not applied"))}
PORT_STATES: dict[str, tuple[str, Any]] = {
    "up": ("ok", _("Connected")), "down": ("off", _("Not connected")), "idle": ("off", _("Not in use"))}
# What usually listens there; names that are the same in every language.
SERVICES = {("tcp", 22): "SSH", ("tcp", 53): "DNS", ("udp", 53): "DNS", ("tcp", 80): "HTTP", ("tcp", 443): "HTTPS",
            ("tcp", 3306): "MySQL", ("tcp", 3389): "RDP", ("tcp", 5432): "PostgreSQL", ("tcp", 6379): "Redis"}
SIGN_IN_PORTS = (22, 3389)


def vpc_state(vpc: Vpc) -> tuple[str, Any]:
    return VPC_STATES["refused" if vpc.fault and vpc.state == "pending" else vpc.state]


def ports_of_rule(rule: SecurityGroupRule) -> str:
    """22, 8000–8080, or nothing for all ports."""
    if rule.port_min is None:
        return ""
    return str(rule.port_min) if rule.port_min == rule.port_max else f"{rule.port_min}–{rule.port_max}"


def service_of(rule: SecurityGroupRule) -> str:
    return SERVICES.get((rule.protocol, rule.port_min), "") if rule.port_min == rule.port_max else ""
