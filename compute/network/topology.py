"""A VPC as a drawing: outside, router, subnets and what is plugged into them. Rows in, boxes and lines out; no markup.

Who uses a port is told by the caller (`Guest`): instances are unknown here. The template draws what is computed.
"""
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from compute.network import wording
from compute.network.models import Port, Subnet, Vpc

TRUNK, INDENT, RISER = 8, 24, 12
HEAD, CARD, ABOVE, GAP, BELOW = 50, 74, 22, 10, 14
# What a subnet shows at most, and all of a VPC's share; the table below the drawing has the rest.
MOST_CARDS, LEAST_CARDS, ALL_CARDS = 24, 3, 36


@dataclass(frozen=True, kw_only=True)
class Guest:
    """Whatever uses a port: its name, page and state in words, and why what belongs to it is kept as it is."""

    name: str
    url: str
    tone: str
    state: str
    kept: str = ""


@dataclass(frozen=True, kw_only=True)
class Box:
    x: int
    y: int
    width: int
    height: int

    @property
    def half(self) -> int:
        return self.width // 2

    @property
    def middle(self) -> int:
        return self.x + self.half

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True, kw_only=True)
class Card:
    """A port with whom it belongs to. `said` is all of it for those who do not see the drawing."""

    box: Box
    title: str
    ip: str
    mac: str
    groups: str
    floating: str
    tone: str
    url: str
    said: str


@dataclass(frozen=True, kw_only=True)
class Band:
    """A subnet. `more` are ports that are not drawn; `wires` is the path of its lines."""

    box: Box
    title: str
    detail: str
    used: str
    cards: tuple[Card, ...]
    more: int
    more_box: Box | None
    wires: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Everything with its place; `name` tells two drawings of one VPC apart."""

    name: str
    width: int
    height: int
    outside: Box
    router: Box
    bands: tuple[Band, ...]
    wires: str


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """How a drawing is laid out: how wide, with how many ports beside each other."""

    name: str
    width: int
    columns: int
    head_width: int


WIDE = Sketch(name="wide", width=1040, columns=4, head_width=340)
NARROW = Sketch(name="narrow", width=360, columns=2, head_width=312)


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is to be drawn: of every subnet its first ports, and how many there are."""

    vpc: Vpc
    subnets: Sequence[Subnet]
    ports: Mapping[UUID, Sequence[Port]]
    counts: Mapping[UUID, int]
    guests: Mapping[UUID, Guest]


def most_cards(subnets: int) -> int:
    """How many ports each of so many subnets may show."""
    return max(LEAST_CARDS, min(MOST_CARDS, ALL_CARDS // max(1, subnets)))


def draw(network: Network, sketch: Sketch) -> Drawing:
    left = (sketch.width - sketch.head_width) // 2
    outside = Box(x=left, y=4, width=sketch.head_width, height=54)
    router = Box(x=left, y=outside.bottom + 26, width=sketch.head_width, height=54)
    bands: list[Band] = []
    y = router.bottom + 34
    for subnet in network.subnets:
        bands.append(_band(network, subnet, sketch, y))
        y = bands[-1].box.bottom + 16
    wires = f"M{outside.middle} {outside.bottom}V{router.y}"
    y = y if bands else router.bottom + 6
    if bands:
        last = bands[-1].box.y + HEAD // 2
        wires += f"M{router.middle} {router.bottom}V{router.bottom + 16}H{TRUNK}V{last}"
        wires += "".join(f"M{TRUNK} {band.box.y + HEAD // 2}H{band.box.x}" for band in bands)
    return Drawing(name=sketch.name, width=sketch.width, height=y, outside=outside, router=router, bands=tuple(bands),
                   wires=wires)


def _band(network: Network, subnet: Subnet, sketch: Sketch, y: int) -> Band:
    ports, count = network.ports.get(subnet.pk, ()), network.counts.get(subnet.pk, 0)
    places = _places(sketch, y, len(ports) + (count > len(ports)))
    rows = -(-len(places) // sketch.columns)
    box = Box(x=INDENT, y=y, width=sketch.width - INDENT - 2, height=HEAD + rows * (CARD + ABOVE) + (BELOW if rows else 0))
    cards = tuple(_card(port, network.guests, place) for port, place in zip(ports, places, strict=False))
    room = box.width - 32
    return Band(
        box=box, cards=cards, more=count - len(ports), more_box=places[-1] if count > len(ports) else None,
        wires=_comb(places, sketch, box), title=fit(subnet.name, room * 3 // 5, 14),
        detail=fit(_("%(cidr)s · gateway %(gateway)s") % {"cidr": subnet.cidr, "gateway": subnet.gateway}, room, 12),
        used=ngettext("%(count)s port", "%(count)s ports", count) % {"count": count})


def _places(sketch: Sketch, y: int, count: int) -> list[Box]:
    """Where the cards of a subnet go, row by row."""
    left = INDENT + RISER + 14
    width = (sketch.width - left - 12 - GAP * (sketch.columns - 1)) // sketch.columns
    return [Box(x=left + (number % sketch.columns) * (width + GAP),
                y=y + HEAD + ABOVE + (number // sketch.columns) * (CARD + ABOVE), width=width, height=CARD)
            for number in range(count)]


def _comb(places: list[Box], sketch: Sketch, band: Box) -> str:
    """From the subnet's head down its left side, along each row."""
    if not places:
        return ""
    rows = [places[start:start + sketch.columns] for start in range(0, len(places), sketch.columns)]
    x = band.x + RISER
    path = f"M{x} {band.y + HEAD}V{rows[-1][0].y - 12}"
    return path + "".join(f"M{x} {row[0].y - 12}H{row[-1].middle}" for row in rows)


def _card(port: Port, guests: Mapping[UUID, Guest], box: Box) -> Card:
    guest = guests.get(port.domain) if port.domain else None
    tone, state = wording.PORT_STATES[port.state]
    tone, state = (guest.tone, guest.state) if guest else (tone, str(state))
    name, floating = guest.name if guest else port.name, floating_address(port)
    groups = ", ".join(sorted(group.name for group in port.groups.all()))
    said = " · ".join(filter(None, (name, state, port.ip, floating, port.mac, groups)))
    return Card(box=box, title=fit(name, box.width - 42, 13), ip=port.ip or "", mac=port.mac, floating=floating, tone=tone,
                groups=fit(groups or _("no security group"), box.width - 26, 11), url=guest.url if guest else "", said=said)


def floating_address(port: Port) -> str:
    """The floating IP at the port, or nothing. Wants `floating_ip__allocation` selected."""
    return (port.floating_ip.address or "") if hasattr(port, "floating_ip") else ""


def fit(text: str, pixels: int, size: int) -> str:
    """As much of the text as has room at this font size; letters of East Asian scripts are twice as wide."""
    room, shown = pixels / size, ""
    for letter in text:
        room -= 1 if unicodedata.east_asian_width(letter) in "WF" else 0.58
        if room < 0.6 and len(shown) + 1 < len(text):
            return f"{shown}…"
        shown += letter
    return shown
