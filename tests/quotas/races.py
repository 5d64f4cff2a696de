"""Creates of every declared dimension, many at once, against a limit somewhere on the way down to four levels: how each is made,
and what came of them all. A dimension that nobody tells how to make fails.
"""
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from rest_framework.test import APIClient

from compute.instances.models import Instance, Snapshot
from compute.network.operations import default_group, default_subnet
from portal.kernel.declarations import registry
from portal.kernel.errors import QuotaExceeded
from storage.models import Image
from tenants import operations, quotas
from tenants.models import ApiKey, Project, Quota
from tests.network.networked import Networked

LEVELS, LEAVES = 4, 2
Answer = tuple[int, dict[str, Any]]
Send = Callable[[str, dict[str, Any]], Answer]
"""POST of a body to a path of the API."""


@dataclass
class Leaf:
    """A project of the lowest level, with what things are made in."""

    net: Networked
    project: Project
    key: str
    vpc: str = ""
    subnet: str = ""
    group: str = ""

    @property
    def scope(self) -> dict[str, str]:
        return {"project": str(self.project.pk), "region": str(self.net.world.region.pk)}

    def instance(self, number: int) -> dict[str, Any]:
        world = self.net.world
        return self.scope | {"name": f"i{number}", "type": str(world.type.pk), "image": str(world.image.pk)}


# What a dimension is taken by: a path and a body for the n-th, or a function that takes it where no route does yet.
MAKERS: dict[str, Callable[[Leaf, int], Any]] = {
    **dict.fromkeys(("instances", "vcpus", "memory_mib", "volumes", "volume_gib", "operations"),
                    lambda leaf, number: ("instances", leaf.instance(number))),
    "images": lambda leaf, number: _make_image(leaf, number),
    "image_gib": lambda leaf, number: _make_image(leaf, number),
    "snapshots": lambda leaf, number: _make_snapshot(leaf, number),
    "vpcs": lambda leaf, number: ("vpcs", leaf.scope | {"name": f"v{number}", "cidr": "10.77.0.0/24"}),
    "subnets": lambda leaf, number: ("subnets", {
        "vpc": leaf.vpc, "name": f"s{number}", "cidr": f"10.77.{number * 8 // 256}.{number * 8 % 256}/29"}),
    "ports": lambda leaf, number: ("ports", {"subnet": leaf.subnet, "name": f"p{number}"}),
    "floating_ips": lambda leaf, number: ("floating-ips", leaf.scope),
    "security_groups": lambda leaf, number: ("security-groups", leaf.scope | {"name": f"g{number}"}),
    "security_group_rules": lambda leaf, number: ("security-group-rules", {
        "security_group": leaf.group, "direction": "ingress", "protocol": "tcp", "port_min": 1000 + number}),
    "instance_schedules": lambda leaf, number: ("instance-schedules", {
        "project": str(leaf.project.pk), "name": f"s{number}", "verb": "stop", "cron": "0 20 * * *", "tag_key": "env",
        "tag_value": "test"}),
    "launch_templates": lambda leaf, number: ("launch-templates", leaf.scope | {"name": f"t{number}", "count": 2}),
    "api_keys": lambda leaf, number: ("api-keys", {"name": f"k{number}", "project": str(leaf.project.pk)}),
}
UNITS = {"memory_mib": 256}
"""What one of them takes, where that is not 1."""


def _make_image(leaf: Leaf, number: int) -> Answer:
    """An instance is made into one at a time, and only when it is off: by the same calls as its verb makes them."""
    try:
        with transaction.atomic():
            quotas.reserve(leaf.project, leaf.net.world.region, {"images": 1, "image_gib": 1})
            Image.objects.create(project=leaf.project, region=leaf.net.world.region, name=f"image-{number}", store_gib=1)
    except QuotaExceeded as error:
        return error.status, {"code": error.code, **error.facts}
    return 201, {}


def _make_snapshot(leaf: Leaf, number: int) -> Answer:
    """An instance has one taken at a time: by the same calls as its verb makes them."""
    world = leaf.net.world
    common = {"project": leaf.project, "region": world.region}
    try:
        with transaction.atomic():
            quotas.reserve(leaf.project, world.region, {"snapshots": 1})
            of = Instance.objects.create(**common, name=f"of-{number}", state="error", type=world.type, vcpus=1, memory_mib=256,
                                         image=world.image)
            Snapshot.objects.create(**common, name=f"snapshot-{number}", of_instance=of, disk_gib=1, vcpus=1, memory_mib=256)
    except QuotaExceeded as error:
        return error.status, {"code": error.code, **error.facts}
    return 201, {}


def plant(net: Networked) -> list[Leaf]:
    """Projects four deep, the lowest of them two."""
    above, alice = net.world.project, net.world.people["alice"]
    for level in range(LEVELS - 2):
        above = operations.create_project(above.organization, f"level-{level}", actor=None, parent=above)
    leaves = []
    for number in range(LEAVES):
        project = operations.create_project(above.organization, f"leaf-{number}", actor=None, parent=above)
        _key, text = operations.create_api_key(alice, name="racer", actor=alice)
        subnet, group = default_subnet(project, net.world.region, actor=None), default_group(
            project, net.world.region, actor=None)
        vpc = net.vpc("10.77.0.0/16", project=str(project.pk))
        leaves.append(Leaf(net, project, text, vpc=vpc["id"], subnet=str(subnet.pk), group=str(group.pk)))
    return leaves


def limit(leaf: Leaf, dimension: str, room: int) -> tuple[Any, UUID]:
    """Leave so much room somewhere between organization and the lowest level but one; wider limits everywhere else."""
    where = leaf.project.organization, *Project.objects.filter(pk__in=leaf.project.ancestor_ids[:-1]).order_by("path")
    region = leaf.net.world.region if registry.dimensions[dimension].regional else None
    used = {line.scope_id: line.used for line in quotas.lines(leaf.project, region)
            + quotas.organization_lines(leaf.project.organization, region) if line.resource == dimension}
    Quota.objects.all().delete()
    tightest = where[list(registry.dimensions).index(dimension) % len(where)]
    for scope in where:
        owner = {"project": scope} if isinstance(scope, Project) else {"organization": scope}
        taken = used[scope.pk] if scope.pk in used else _used(scope, region, dimension)
        Quota.objects.create(**owner, region=region, dimension=dimension,
                             limit=taken + room * (1 if scope is tightest else 3))
    return region, tightest.pk


def _used(scope: Any, region: Any, dimension: str) -> int:
    return next(line.used for line in quotas.lines(scope, region) if line.resource == dimension and line.scope_id == scope.pk)


def race(leaves: list[Leaf], dimension: str, *, count: int, connections_: int, open_way: Callable[[Leaf], Send]) -> list[Answer]:
    """So many creates over so many connections at once, in turn in each of the lowest projects."""
    make, numbers, answers = MAKERS[dimension], iter(range(count)), []
    ready, turn = threading.Barrier(connections_), threading.Lock()

    def work(place: int) -> None:
        leaf = leaves[place % len(leaves)]
        send = open_way(leaf)
        ready.wait()
        try:
            while True:
                with turn:
                    number = next(numbers, None)
                if number is None:
                    return
                asked = make(leaf, number)
                answers.append(asked if isinstance(asked[0], int) else send(*asked))
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=(place,)) for place in range(connections_)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return answers


def judge(leaves: list[Leaf], dimension: str, room: int, where: tuple[Any, UUID], answers: list[Answer]) -> list[str]:
    """What is wrong: a limit not reached or passed, a refusal while there was room, anything but a create or a refusal."""
    region, tightest = where
    wrong, counted = [], Counter(status for status, _body in answers)
    if extra := counted.keys() - {201, 202, 409}:
        wrong.append(f"{dimension}: answered {sorted(extra)}: {[body for status, body in answers if status in extra][:2]}")
    unit = UNITS.get(dimension, 1)
    if (made := counted[201] + counted[202]) != room // unit:
        wrong.append(f"{dimension}: {made} made, room for {room // unit}")
    for status, body in answers:
        if status == 409 and not (body.get("code") == "quota_exceeded" and body["resource"] == dimension
                                  and body["used"] + body["wanted"] > body["limit"] and body["scope_id"] == str(tightest)):
            wrong.append(f"{dimension}: refused for nothing: {body}")
            break
    project = leaves[0].project
    held = [line for line in (*quotas.lines(project, region), *quotas.organization_lines(project.organization, region))
            if line.scope_id == tightest and line.resource == dimension]
    wrong += [f"{dimension}: {line.used} used of {line.limit}" for line in held if line.used != line.limit]
    return wrong


def in_process(leaf: Leaf) -> Send:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {leaf.key}")

    def send(path: str, body: dict[str, Any]) -> Answer:
        response = client.post(f"/api/v1/{path}/", body, format="json")
        return response.status_code, response.json()

    return send


waits: list[int] = []
"""One for each answer that asked to come again."""


def over_http(port: int) -> Callable[[Leaf], Send]:
    """A kept connection for each, which the kernel gives to one of the web processes."""

    def open_way(leaf: Leaf) -> Send:
        kept: list[http.client.HTTPConnection] = []

        def send(path: str, body_sent: dict[str, Any], tries: int = 60) -> Answer:
            if not kept:
                kept.append(http.client.HTTPConnection("127.0.0.1", port, timeout=120))
            kept[0].request("POST", f"/api/v1/{path}/", json.dumps(body_sent), {
                "Authorization": f"Bearer {leaf.key}", "Content-Type": "application/json"})
            response = kept[0].getresponse()
            body = json.loads(response.read())
            if response.status == 503 and tries:  # an overloaded machine asks to wait, which is no refusal
                waits.append(1)
                time.sleep(1)
                return send(path, body_sent, tries - 1)
            return response.status, body

        return send

    return open_way


def forget() -> None:
    """Keys that a race made are revoked: of a person's there are not to be too many."""
    ApiKey.objects.filter(name__startswith="k").delete()
