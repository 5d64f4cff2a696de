"""What the create page shows for programs orders exactly what its form would."""
import argparse
import json
import re
import shlex
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib import request as urllib_request

import pytest
from django.conf import settings
from django.http import QueryDict
from rest_framework.test import APIRequestFactory

from compute.instances import keys
from compute.instances.api import CreateInstanceSerializer, order_of
from compute.instances.forms import OrderForm
from compute.instances.models import InstanceType
from compute.instances.offers import offer
from compute.instances.operations import Order
from compute.instances.spellings import Known, body_of, cli, curl, python
from compute.network import operations
from portal.kernel.models import Region, Resource, Zone
from tenants.models import Project
from tests.network.networked import Networked

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq6M1vGv2C2Yw5xUxVkW3cS3x0A2gqV0C0nH0m1J0aX me@laptop"


def known_of(form: OrderForm) -> Known:
    found = form.offer
    return Known(projects=found.projects, images=found.images, keys=found.keys, subnets=found.subnets, groups=found.groups)


def form_of(net: Networked, **chosen: object) -> OrderForm:
    world, sent = net.world, QueryDict(mutable=True)
    person = world.people["alice"]
    given = {"project": world.project.pk, "region": world.region.pk, "image": world.image.pk, "type": world.type.pk,
             "name": "web"}
    for name, value in (given | chosen).items():
        sent.setlist(name, value if isinstance(value, list) else [value])
    form = OrderForm(sent, offer=offer(person, [world.project], world.project, world.region.pk), user=person)
    assert form.is_valid(), form.errors
    return form


def everything(net: Networked) -> dict[str, object]:
    """One of everything that the form can ask for, with what shells and quotes stumble over."""
    world = net.world
    vpc = operations.create_vpc(world.project, world.region, name="shop", cidr=IPv4Network("10.5.0.0/16"), actor=None)
    lan = operations.create_subnet(vpc, name="lan one", cidr=IPv4Network("10.5.0.0/24"), actor=None)
    twins = [operations.create_group(world.project, world.region, name="twin", actor=None) for _number in range(2)]
    key, _private = keys.generate_key(world.project, world.region, name="my laptop", actor=None)
    return {"zone": world.zone.pk, "root_disk_gib": 7, "subnets": [net.default_subnet().pk, lan.pk], "count": 3,
            "security_groups": [twins[1].pk], "floating_ip": "on", "ssh_keys": [key.pk], "public_keys": PUBLIC_KEY,
            "description": "it's “first” – 100 % $HOME", "tags": "env: prod\nteam = a\nnote: b=c: d", "name": "-web 1",
            "user_data": "#!/bin/sh\r\necho 'hi' \"$USER\" \\ `id`\r\n"}


@pytest.fixture(params=["least", "everything"])
def form(request: pytest.FixtureRequest, networked: Networked) -> OrderForm:
    return form_of(networked, **(everything(networked) if request.param == "everything" else {}))


def read_by_api(body: dict[str, Any], person: Any) -> Order:
    """The order that the API makes of the body."""
    asking = APIRequestFactory().post("/")
    asking.user = person
    serializer = CreateInstanceSerializer(data=json.loads(json.dumps(body)), context={"request": asking})
    serializer.is_valid(raise_exception=True)
    return order_of(serializer.validated_data)


def test_the_body_is_the_same_order(networked: Networked, form: OrderForm) -> None:
    assert read_by_api(body_of(form.order()), networked.world.people["alice"]) == form.order()


def test_curl_sends_the_body(form: OrderForm) -> None:
    words = shlex.split(curl(form.order()))
    assert words[:3] == ["curl", "-X", "POST"] and words[3].endswith("/api/v1/instances/")
    assert "Authorization: Bearer $MAINS_API_KEY" in words
    assert json.loads(words[words.index("-d") + 1]) == body_of(form.order())


def test_python_sends_the_body(form: OrderForm, monkeypatch) -> None:
    sent: list[Any] = []

    class Answer:
        def __enter__(self) -> Any:
            return SimpleNamespace(read=lambda: b"{}")

        def __exit__(self, *_error: object) -> None:
            """Nothing to close."""

    monkeypatch.setattr(urllib_request, "urlopen", lambda asked: sent.append(asked) or Answer())
    monkeypatch.setenv("MAINS_API_KEY", "mns_x")
    exec(compile(python(form.order()), "shown", "exec"), {})
    [asked] = sent
    assert (asked.get_method(), asked.headers["Authorization"]) == ("POST", "Bearer mns_x")
    assert json.loads(asked.data) == body_of(form.order())


SLUGS: dict[str, Any] = {"region": Region, "zone": Zone, "instance-type": InstanceType}
CATALOGUE: dict[str, Any] = SLUGS | {"project": Project}


class Portal:
    """What the command asks of the portal: ids of names, which it looks up as the API does."""

    def find(self, kind: str, text: str, scope: dict[str, str] | None = None) -> str:
        rows = CATALOGUE[kind].objects.all() if kind in CATALOGUE else Resource.objects.live().filter(
            kind=kind.replace("-", "_"))
        is_id = re.fullmatch(r"[0-9a-f-]{36}", text) is not None
        [row] = rows.filter(**{"pk" if is_id else "slug" if kind in SLUGS else "name": text})
        return str(row.pk)

    def only(self, kind: str) -> str:
        raise AssertionError(f"{kind} is not said")


@pytest.fixture(scope="module")
def program() -> Any:
    """The command line's own program, as a module."""
    loader = SourceFileLoader("mains_of_spellings", str(Path(settings.BASE_DIR) / "portal" / "cli" / "mains"))
    found = module_from_spec(spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = found
    loader.exec_module(found)
    return found


def test_the_command_asks_for_the_body(program: Any, form: OrderForm, monkeypatch) -> None:
    before, _pipe, command = cli(form.order(), known_of(form)).rpartition(" | ")
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["mains", "instance", "create"]
    if before:
        [_printf, _form, data] = shlex.split(before)
        monkeypatch.setattr(program.sys, "stdin", SimpleNamespace(read=lambda: data))
    options: argparse.Namespace = program.parsed(program.verb_parser("instance", "create"), words[3:])
    verb = program.RESOURCES["instance"].verbs["create"]
    assert program.Wanted("create", verb, options, Portal()).body == body_of(form.order())
