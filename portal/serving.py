"""HTTP in a web process: Django's handler, with a bounded number of threads for what is not asynchronous.

Django gives every request a thread of its own. A hundred pages that fetch at once then fight for the interpreter, each of
them slowly and the event loop among them, so even hints and consoles wait for all. Here requests queue for TURNS threads,
and the loop is never one of more than those few. Nothing holds a thread while it reads a body or sends an answer.
"""
import asyncio
import gc
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.db import close_old_connections
from django.http import HttpResponseBase
from django.template.loader import get_template
from django.urls import get_resolver, reverse, set_script_prefix

# What requests do is computing, so more would not be faster; fewer would all be held up by a few that wait for a lock. Some of
# the pool's connections stay for what the websockets ask.
TURNS = 12
# Beside them, what open pages fetch again by themselves takes no more than this: a hint makes all of them ask at once, and
# nobody's click waits behind them. Few connections are theirs, so that PostgreSQL has soon planned their statements on each.
LIVE_TURNS = 3
# What must not wait for a turn, nor take one: `?wait=` sleeps in its view, and a probe asks whether the process lives.
APART = 200


# Objects, and collections of the younger generation, between two collections: the oldest one is looked through after 300,000
# objects that stayed (some 45 MB), four times more seldom than by default. Each time stops all requests for 25 ms.
COLLECT_AFTER = (1000, 15, 20)


def settle() -> None:
    """Load what requests will need, and leave it alone: looking through it for garbage took 100 ms each time."""
    get_resolver()._populate()
    for folder in settings.TEMPLATES[0]["DIRS"]:
        for path in folder.rglob("*.html"):
            get_template(str(path.relative_to(folder)))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class Handler(ASGIHandler):
    """Django over HTTP. A request's synchronous code, from the first middleware to the last, is one call on one thread."""

    def __init__(self, turns: int = TURNS, live_turns: int = LIVE_TURNS) -> None:
        # All of our middlewares and views are synchronous, so the chain is: mixed ones go to and fro at each border.
        self.load_middleware(is_async=False)
        self._working: Executor = ThreadPoolExecutor(turns, "request")
        self._live: Executor = ThreadPoolExecutor(live_turns, "live")
        self._apart: Executor = ThreadPoolExecutor(APART, "apart")

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        with suppress(RequestAborted):
            body = await self.read_body(receive)
            work = asyncio.ensure_future(self._serve(scope, body, send))
            gone = asyncio.ensure_future(self.listen_for_disconnect(receive))
            try:
                await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Whoever left is not computed for, if it has not begun yet, and a download ends.
                for task in (gone, work):
                    if not task.done():
                        task.cancel()
                await asyncio.gather(work, gone, return_exceptions=True)
            if not work.cancelled():
                work.result()

    async def _serve(self, scope: dict, body: Any, send: Any) -> None:
        threads = self._apart if _is_apart(scope) else self._live if _is_live(scope) else self._working
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(threads, copy_context().run, self._answer, scope, body, loop)
        if not response.streaming:
            return await self.send_response(response, send)
        # Each piece takes a turn of its own.
        async with ThreadSensitiveContext(executor=self._working):
            try:
                await self.send_response(response, send)
            finally:
                await sync_to_async(response.close)()

    def _answer(self, scope: dict, body: Any, loop: asyncio.AbstractEventLoop) -> HttpResponseBase:
        # What `sync_to_async` does, without carrying the context of each request back to the loop, where nobody wants it
        # (a tenth of the process' time): hints are sent by the loop, which has the connection to Redis.
        SyncToAsync.threadlocal.main_event_loop, SyncToAsync.threadlocal.main_event_loop_pid = loop, os.getpid()
        try:
            set_script_prefix(get_script_prefix(scope))
            request_started.send(sender=self.__class__, scope=scope)
            request, response = self.create_request(scope, body)
            if request is not None:
                response = self.get_response(request)
            if not response.streaming:
                response.close()
        finally:
            body.close()
            close_old_connections()
        return response


def _is_live(scope: dict) -> bool:
    """Whether a page fetches a part of itself again (static/mains.js)."""
    return any(name == b"live" for name, _value in scope["headers"])


def _is_apart(scope: dict) -> bool:
    if b"wait=" in scope["query_string"]:
        return scope["path"].startswith(reverse("operation-list"))
    return scope["path"] == reverse("livez")
