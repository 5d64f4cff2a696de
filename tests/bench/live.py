"""A change's way to 100 open pages: from its commit to the last page that holds the new content.

Real uvicorn processes, as many as `make run` has, with Redis between, and 100 websocket clients that do as static/mains.js
does: a hint that concerns what they show, 60 ms of waiting for more, and the same parts again over a connection of their
own, of a list only the rows that were named. Half of them look at the list of instances (25 rows), the others at the dashboard
and at the instance that changes, in turn; ten people, each with ten of the pages. Every change renames the instance, so that
an answer tells whether it is of this change. The first changes only warm up processes that have just been started.
"""
import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from websockets.asyncio.client import connect

from tests.bench import databases
from tests.bench.console import _await_port, _free_port
from tests.bench.figures import Figure, median
from tests.bench.pages import p95

BROWSERS, INSTANCES, CHANGES, WARMING, DEBOUNCE_S, GOAL_S, LONGEST_S, PEOPLE, MOST_ROWS = (
    int(os.environ.get("MAINS_BROWSERS", 100)), 200, int(os.environ.get("MAINS_CHANGES", 20)), 5, 0.06, 1, 60, 10, 20)
SHARES = ("instances:list", "dashboard", "instances:list", "instances:detail")


class Wire:
    """A kept connection that asks for one thing after the other, with as little work as can be: it runs on the same cores."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port = port
        self.head = f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nHX-Request: true\r\n"

    async def get(self, path: str, headers: str = "") -> tuple[int, str]:
        if not hasattr(self, "writer") or self.reader.at_eof():  # uvicorn closes what was idle for five seconds
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        self.writer.write(f"GET {path} HTTP/1.1\r\n{self.head}{headers}\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        return int(head.split(" ", 2)[1]), body.decode()


@dataclass
class Browser:
    """One open page: the parts that it fetches again, and when they said what is new."""

    path: str
    cookie: str
    kind: str = "instance"
    named: str = ""
    """What the present change writes."""
    frame: str = ""
    told: float = 0
    shown: float = 0
    due: set[str] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def stay(self, port: int, ready: asyncio.Semaphore) -> None:
        origin = {"Cookie": self.cookie, "Origin": f"http://127.0.0.1:{port}"}
        wire = Wire(port, self.cookie)
        await self._fetch(wire)
        async with connect(f"ws://127.0.0.1:{port}/ws/live/", additional_headers=origin, ping_interval=None,
                           open_timeout=LONGEST_S) as socket, asyncio.TaskGroup() as group:
            ready.release()
            group.create_task(self._keep_up(wire))
            async for message in socket:
                hint = json.loads(message)
                if hint["kind"] == self.kind:
                    self.told = self.told or time.time()
                    self.due.add(hint["id"])
                    self.wake.set()

    async def _keep_up(self, wire: Wire) -> None:
        while True:
            await self.wake.wait()
            await asyncio.sleep(DEBOUNCE_S)
            self.wake.clear()
            ids, self.due = self.due, set()
            await self._fetch(wire, ids)

    async def _fetch(self, wire: Wire, ids: set[str] = frozenset()) -> None:
        headers = "Live: 1\r\nLive-Along: resource-header\r\n"  # of no interest to other pages
        if self.frame and len(ids) <= MOST_ROWS:
            headers += f"Live-Rows: {' '.join(ids)}\r\nLive-Frame: {self.frame}\r\n"
        status, text = await wire.get(self.path, headers)
        assert status in (200, 204), status
        if frame := re.search(r'data-frame="(\w+)"', text):
            self.frame = frame[1]
        if self.named and self.named in text:
            self.shown = self.shown or time.time()


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(4) as name:
        paths, cookies, instance = _fill()
        with _served(name, port := _free_port()) as count:
            rounds, heard, load = asyncio.run(_watch(port, cookies, paths, instance))
    return [Figure(name=f"live: commit → {BROWSERS} pages hold it, p95 of {CHANGES} changes",
                   value=f"{p95(rounds):.2f} s (median {median(rounds):.2f} s, longest {max(rounds):.2f} s)",
                   compared=f"the last of them heard of it after {median(heard):.2f} s; {count} web processes, load {load:.0f}",
                   goal=f"≤ {GOAL_S} s", met=p95(rounds) <= GOAL_S)]


def _fill() -> tuple[list[str], list[str], Any]:
    """Addresses by share, a session's cookie for each person, and the instance that changes."""
    from django.conf import settings
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from compute.instances.models import Instance
    from portal.kernel.models import Resource
    from tenants.models import User
    from tenants.roles import bind
    from tests.world import make_world

    world = make_world(settings.STATE_DIR / "live")
    instance = Instance.objects.create(
        project=world.project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type, vcpus=1,
        memory_mib=256, image=world.image, state="running", observed_state="running")
    databases.copy_resource(instance, INSTANCES - 1)
    Resource.objects.update(updated_at=timezone.now() - timedelta(hours=1))  # no news
    databases.analyze()
    cookies = []
    for number in range(PEOPLE):
        person = User.objects.create_user(f"watcher-{number}")
        bind(person, "operator", world.project)
        client = Client()
        client.force_login(person)
        cookies.append(f"sessionid={client.cookies['sessionid'].value}")
    detail = reverse("instances:detail", args=[instance.pk])
    paths = [detail if name.endswith("detail") else reverse(name) for name in SHARES]
    return paths, cookies, instance


@contextmanager
def _served(database: str, port: int) -> Iterator[int]:
    """The web processes of `make run`, on this database; how many they are."""
    from compute.lab.setup.stage import Stage
    from compute.lab.setup.supervision import portal_commands

    address = f"http://127.0.0.1:{port}"
    commands = portal_commands(Stage("run"), {"MAINS_BIND": "127.0.0.1", "MAINS_URL": address})
    environment = {**os.environ, "DATABASE_URL": databases.url(database), "MAINS_URL": address}
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                 for name, command in commands.items() if name.startswith("web-")]
    try:
        _await_port(port)
        time.sleep(5)  # until each of them listens
        yield len(processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


async def _watch(port: int, cookies: list[str], paths: list[str],
                 instance: Any) -> tuple[list[float], list[float], float]:
    """Seconds from each commit to the last page that holds it, and to the last hint."""
    browsers = [Browser(paths[number % len(paths)], cookies[number // len(paths) % PEOPLE]) for number in range(BROWSERS)]
    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(one.stay(port, ready)) for one in browsers]
    for _one in browsers:
        await asyncio.wait((asyncio.ensure_future(ready.acquire()), *tasks), return_when=asyncio.FIRST_COMPLETED)
        _raise_failed(tasks)
    await asyncio.sleep(6)  # what was fresh when they connected has been told
    rounds, heard = [], []
    for change in range(WARMING + CHANGES):
        for one in browsers:
            one.named, one.told, one.shown = f"web-renamed-{change}.", 0, 0
        begun = await asyncio.to_thread(_change_it, instance, f"web-renamed-{change}.")
        await _settled(browsers, tasks)
        rounds.append(max(one.shown for one in browsers) - begun)
        heard.append(max(one.told for one in browsers) - begun)
        await asyncio.sleep(2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return rounds[WARMING:], heard[WARMING:], os.getloadavg()[0]


async def _settled(browsers: list[Browser], tasks: list[asyncio.Task]) -> None:
    async with asyncio.timeout(LONGEST_S):
        while not all(one.shown for one in browsers):
            _raise_failed(tasks)
            await asyncio.sleep(0.02)


def _raise_failed(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _change_it(instance: Any, name: str) -> float:
    """What any change of a resource does: write it, mark it, and hint on commit. When it was about to be committed."""
    from django.db import connection, transaction

    from portal.kernel.live import touch

    with transaction.atomic():
        type(instance).objects.filter(pk=instance.pk).update(name=name)
        touch(instance)
        begun = time.time()
    connection.close()
    return begun
