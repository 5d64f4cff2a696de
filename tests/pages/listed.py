"""Rows for the tests of lists, and what a list's page says."""
import re
from html import unescape
from typing import Any

from django.test import Client

from compute.instances.models import Instance
from tenants.models import Project
from tests.world import World


def instance(world: World, name: str, *, project: Project | None = None, state: str = "stopped", **further: Any) -> Instance:
    return Instance.objects.create(project=project or world.project, region=world.region, zone=world.zone, host=world.host,
                                   name=name, type=world.type, vcpus=1, memory_mib=256, image=world.image, state=state,
                                   **further)


def page(client: Client, path: str, **query: Any) -> str:
    response = client.get(path, query)
    assert response.status_code == 200, response.content[:500]
    return response.content.decode()


def names(text: str) -> list[str]:
    """What the name column says, in order."""
    return re.findall(r'class="name"[^>]*>([^<]*)<', text)


def link(text: str, rel: str) -> str:
    """The address of the page after or before; empty at the ends."""
    found = re.search(rf'rel="{rel}" href="([^"]*)"', text)
    return unescape(found[1]) if found else ""


def chips(text: str) -> list[tuple[str, str]]:
    """What is filtered, with the address that leaves it out."""
    return [(unescape(label), unescape(url)) for url, label in
            re.findall(r'<a class="chip" href="([^"]*)"><span>([^<]*)</span>', text)]
