"""A change's way to 100 open pages: from its commit to the last page that has fetched again what shows it.

A real uvicorn in a process of its own with Redis between, and 100 websocket clients that do as static/mains.js does: a hint
that concerns what they show, 150 ms of waiting for more, and the same part again over a kept connection. Half of them look at
the list of instances (50 rows), the others at the dashboard and at the instance that changes, in turn.
"""
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.bench import databases
from tests.bench.console import _await_port, _free_port
from tests.bench.figures import Figure, median
from tests.bench.pages import p95

BROWSERS, INSTANCES, CHANGES, DEBOUNCE_S, GOAL_S, LONGEST_S = (
    int(os.environ.get("MAINS_BROWSERS", 100)), 200, int(os.environ.get("MAINS_CHANGES", 20)), 0.15, 1, 60)
SHARES = ("instances:list", "dashboard", "instances:list", "instances:detail")


@dataclass
class Browser:
    """One open page: what it fetches again, and when its answers came."""

    path: str
    kinds: frozenset[str]
    answered: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)

    async def stay(self, client: httpx.AsyncClient, port: int, cookie: str, ready: asyncio.Semaphore) -> None:
        origin = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{port}"}
        async with connect(f"ws://127.0.0.1:{port}/ws/live/", additional_headers=origin, ping_interval=None,
                           open_timeout=LONGEST_S) as socket:
            ready.release()
            async for message in socket:
                if json.loads(message)["kind"] not in self.kinds:
                    continue
                self.heard.append(time.time())
                await asyncio.sleep(DEBOUNCE_S)
                answer = await client.get(self.path)
                assert answer.status_code == 200, answer.status_code
                self.answered.append(time.time())


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(4) as name:
        paths, cookie, instance = _fill()
        with _served(name, port := _free_port()):
            rounds, heard, load = asyncio.run(_watch(port, cookie, paths, instance))
    return [Figure(name=f"live: commit → {BROWSERS} pages fetched again, p95 of {CHANGES} changes",
                   value=f"{p95(rounds):.2f} s (median {median(rounds):.2f} s, longest {max(rounds):.2f} s)",
                   compared=f"the last of them heard of it after {median(heard):.2f} s; one uvicorn process, load {load:.0f}",
                   goal=f"≤ {GOAL_S} s", met=p95(rounds) <= GOAL_S)]


def _fill() -> tuple[list[tuple[str, frozenset[str]]], str, Any]:
    """Addresses by share, a session's cookie, and the instance that changes."""
    from django.conf import settings
    from django.test import Client
    from django.urls import reverse

    from compute.instances.models import Instance
    from tests.world import make_world

    world = make_world(settings.STATE_DIR / "live")
    instance = Instance.objects.create(
        project=world.project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type, vcpus=1,
        memory_mib=256, image=world.image, state="running", observed_state="running")
    databases.copy_resource(instance, INSTANCES - 1)
    databases.analyze()
    client = Client()
    client.force_login(world.people["alice"])
    paths = [(reverse(name, args=[instance.pk] if name.endswith("detail") else []), frozenset({"instance"})) for name in SHARES]
    return paths, f"sessionid={client.cookies['sessionid'].value}", instance


@contextmanager
def _served(database: str, port: int) -> Iterator[None]:
    environment = {**os.environ, "DATABASE_URL": databases.url(database), "MAINS_URL": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port), "--ws", "websockets-sansio",
               "--ws-per-message-deflate", "false", "--no-access-log"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(port)
        yield
    finally:
        process.terminate()
        process.wait(20)


async def _watch(port: int, cookie: str, paths: list[Any], instance: Any) -> tuple[list[float], list[float], float]:
    """Seconds from each commit to the last answer, and to the last hint."""
    browsers = [Browser(*paths[number % len(paths)]) for number in range(BROWSERS)]
    ready = asyncio.Semaphore(0)
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Cookie": cookie, "HX-Request": "true"},
                               timeout=LONGEST_S, verify=False, limits=httpx.Limits())
    tasks = [asyncio.create_task(one.stay(client, port, cookie, ready)) for one in browsers]
    for _one in browsers:
        await ready.acquire()
    await asyncio.sleep(6)  # what was fresh when they connected has been told
    rounds, heard = [], []
    for _change in range(CHANGES + 1):
        for one in browsers:
            one.answered.clear()
            one.heard.clear()
        await asyncio.to_thread(_change_it, instance)
        begun = time.time()
        await _settled(browsers, tasks)
        rounds.append(max(one.answered[0] for one in browsers) - begun)
        heard.append(max(one.heard[0] for one in browsers) - begun)
        await asyncio.sleep(2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    return rounds[1:], heard[1:], os.getloadavg()[0]


async def _settled(browsers: list[Browser], tasks: list[asyncio.Task]) -> None:
    async with asyncio.timeout(LONGEST_S):
        while not all(one.answered for one in browsers):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)


def _change_it(instance: Any) -> None:
    """What any change of a resource does: mark it, and hint on commit."""
    from django.db import connection, transaction

    from portal.kernel.live import touch

    with transaction.atomic():
        touch(instance)
    connection.close()
