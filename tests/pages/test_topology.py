"""The drawing of a VPC: what is on it, and that it stays within its frame."""
import re
from ipaddress import IPv4Network
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compute.network import operations, topology
from compute.network.models import Port
from tests.network.networked import Networked
from tests.pages.test_network_pages import make_subnet, order


def drawings(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg.replace("<svg ", "<svg xmlns='http://www.w3.org/2000/svg' ", 1))
            for svg in re.findall(r'<svg class="topology .*?</svg>\n?(?=<svg class="topology|</figure>)', text, re.DOTALL)]


def test_the_drawing_shows_router_subnets_and_instances_with_their_addresses(networked: Networked, browser) -> None:
    instance = order(networked, "shop-1", has_floating_ip=True)
    port = Port.objects.get(domain=instance.pk)
    vpc = port.subnet.vpc
    text = browser("alice").get(reverse("vpcs:detail", args=[vpc.pk])).content.decode()
    for drawing in drawings(text):
        words = " ".join(drawing.itertext())
        for word in ("shop-1", port.ip, port.floating_ip.address, vpc.router_address, "198.18.200.0/24", "default", port.mac):
            assert word in words
        links = [one.get("href") for one in drawing.iter() if one.tag.endswith("}a")]
        assert links == [reverse("instances:detail", args=[instance.pk])]
        assert not [one for one in drawing.iter() if one.get("style")]
    assert len(drawings(text)) == 2, "one for wide screens and one for narrow ones"


@pytest.mark.parametrize("count", [0, 1, 18, 57])
def test_the_drawing_stays_within_its_frame_however_much_there_is(networked: Networked, browser, count: int) -> None:
    subnet = make_subnet(networked)
    operations.create_subnet(subnet.vpc, name="空" * 60, cidr=IPv4Network("10.1.4.0/24"), actor=None)
    for number in range(count):
        operations.create_port(subnet, [], name=f"card {number} {'x' * 60}", actor=None)
    text = browser("alice").get(reverse("vpcs:detail", args=[subnet.vpc_id])).content.decode()
    for drawing in drawings(text):
        _left, _top, width, height = map(int, drawing.get("viewBox").split())
        boxes = [(moved, one) for moved in drawing.iter() for one in moved if one.tag.endswith("}rect")]
        assert len(boxes) == 4 + min(count, topology.most_cards(2)) + (count > topology.most_cards(2))
        for moved, box in boxes:
            x, y, w, h = (int(box.get(name, 0)) for name in ("x", "y", "width", "height"))
            if moved.get("transform"):
                right, down = map(int, re.findall(r"\d+", moved.get("transform")))
                x, y = x + right, y + down
            assert min(x, y) >= 0 and x + w <= width and y + h <= height
    more = count - topology.most_cards(2)
    assert (f"{more} more below" in text) == (more > 0)


def test_letters_that_are_twice_as_wide_take_twice_the_room() -> None:
    assert topology.fit("short", 100, 13) == "short"
    assert topology.fit("x" * 100, 100, 13).endswith("…")
    assert len(topology.fit("空" * 100, 100, 13)) < len(topology.fit("x" * 100, 100, 13))


def test_a_vpc_without_a_public_network_is_drawn_cut_off(networked: Networked, browser) -> None:
    networked.pool.is_open = False
    networked.pool.save()
    vpc = make_subnet(networked).vpc
    text = browser("alice").get(reverse("vpcs:detail", args=[vpc.pk])).content.decode()
    assert "No way outside" in text and "topo-missing" in text


def test_the_page_of_a_vpc_asks_as_often_for_40_ports_as_for_one(networked: Networked, browser) -> None:
    subnet, group = make_subnet(networked), networked.default_group()
    operations.create_port(subnet, [group], name="card", actor=None)
    client, path = browser("alice"), reverse("vpcs:detail", args=[subnet.vpc_id])
    client.get(path)
    with CaptureQueriesContext(connection) as before:
        client.get(path)
    for number in range(39):
        operations.create_port(subnet, [group], name=f"card {number}", actor=None)
    with CaptureQueriesContext(connection) as after:
        client.get(path)
    assert len(after) == len(before)
