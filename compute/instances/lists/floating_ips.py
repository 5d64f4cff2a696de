"""The list of floating IPs with the instances that they point to."""
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from billing.money import Money
from compute.instances import addresses
from compute.network import operations, queries
from compute.network.models import FloatingIp
from compute.network.topology import Guest
from portal.kernel.lists import Column, Empty, Text
from portal.kernel.models import Operation
from tenants.bulk import BulkVerb
from tenants.lists import BY_REGION, BY_TAG, CREATED, ID, NAME, PROJECT, STATE, TAGS, Listing, states
from tenants.scope import narrow

S = FloatingIp.State


@dataclass(frozen=True, kw_only=True)
class Pointed:
    """An address with what it points to, what it costs a month, and what the user may do to it."""

    guest: Guest | None
    price: Money | None
    may_associate: bool
    may_release: bool


def _release(floating: FloatingIp, user: Any) -> None:
    operations.release(floating, actor=user)


def _disassociate(floating: FloatingIp, user: Any) -> Operation:
    return operations.disassociate(floating, actor=user)


def _only(state: str, why: Any) -> Any:
    return lambda floating: "" if floating.state == state else why


class FloatingIpList(Listing):
    """Floating IPs."""

    name, url_name, row_template = "floating-ips", "floating_ips:list", "network/_floating_ip_row.html"
    title, live, has_actions = _("Floating IPs"), "floating_ip", True
    columns = (
        ID, Column(label=_("Address"), value=lambda line: line.row.address), Column(
            label=NAME.label, value=NAME.value, only_in_csv=True), STATE,
        Column(label=_("Points to"), value=lambda line: line.row.port and line.row.port.ip),
        Column(label=_("Instance"), only_in_csv=True, value=lambda line: line.item.guest and line.item.guest.name),
        Column(label=_("Price per month"), kind="wide-only text-end", value=lambda line: line.item.price), PROJECT,
        Column(label=CREATED.label, sort="created_at", kind="wide-only extra", value=CREATED.value), TAGS)
    filters = (Text(name="name", label=_("Name contains …"), starts=("allocation__address",)),
               states(S.choices, "released"), BY_REGION, BY_TAG)
    verbs = (
        BulkVerb(name="disassociate", label=_("Disassociate"), icon="unlink", permission="floatingip.associate",
                 act=_disassociate, effect=_("Connections through them end. The addresses stay yours and are billed as idle."),
                 why_not=_only(S.ATTACHED, _("It is not associated."))),
        BulkVerb(name="release", label=_("Release"), icon="trash", permission="floatingip.manage", act=_release,
                 is_dangerous=True, why_not=_only(S.IDLE, _("Only an idle one can be released: disassociate it first.")),
                 effect=_("The addresses go back to the pool; you may not get them again. Billing stops at once.")))
    empty = Empty(icon="world", title=_("No floating IPs yet"), action=_("Allocate floating IP"), url_name="floating_ips:create",
                  permission="floatingip.manage", command="mains floating-ip create",
                  text=_("A floating IP is a public address that you keep and point at one instance or another, while they run."))

    def rows(self) -> QuerySet[FloatingIp]:
        return narrow(self.request, FloatingIp.objects.visible_to(self.user)).select_related(
            "project__organization", "region", "pool", "allocation", "port__subnet__vpc")

    def items(self, rows: list[FloatingIp]) -> list[Pointed]:
        guests = addresses.guests(self.user, [row.port for row in rows if row.port])
        prices = queries.AddressPrices.now({row.pool for row in rows})
        may = self.user.grants.may
        return [Pointed(guest=guests.get(row.port.domain) if row.port else None, price=prices.of(row),
                        may_associate=may("floatingip.associate", row.project_id),
                        may_release=may("floatingip.manage", row.project_id)) for row in rows]

    def is_changing(self, row: FloatingIp) -> bool:
        return FloatingIp.TONES[row.state] == "busy"

    def name_of(self, row: FloatingIp) -> str:
        return row.address or row.name
