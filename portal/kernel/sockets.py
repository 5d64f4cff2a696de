"""The live websocket: tells open pages *that* something changed (`{"kind", "id"}`), never what.

Hints come by Redis within milliseconds. Every process also looks into PostgreSQL by itself, once for all its sockets,
so a lost hint or a lost Redis costs LOOK_S and nothing else. Who may hear of what is asked anew every RECHECK_S.
"""
import asyncio
import json
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.apps import apps
from django.db import Error as DatabaseFault
from django.db.models.functions import Now
from django.utils import timezone

from portal.kernel.handshake import hang_up, origin_is_ours, refuse, session_key_of, users_of_sessions
from portal.kernel.live import group_of
from portal.kernel.models import Operation, Resource

log = structlog.get_logger(__name__)

LOOK_S = 1.5
RECHECK_S = 3.0
# How far back a look goes: a row is stamped when it is written and seen when its transaction commits.
OVERLAP = timedelta(seconds=15)
# A page that has just been rendered connects this much later at most; what changed meanwhile is told again.
CATCH_UP = timedelta(seconds=5)
PROJECT_LIMIT = 500  # of operators, who see all projects
ROW_LIMIT = 1000
PENDING_LIMIT = 1000  # hints a page has not fetched; beyond, it reconnects and loads anew

News = tuple[str, UUID, UUID, datetime]  # kind, id, project, changed


class LiveSocket:
    """One open page: its projects and the hints that it has not been sent yet."""

    def __init__(self, session_key: str, projects: frozenset[UUID]) -> None:
        self.session_key = session_key
        self.projects = projects
        self.pending: dict[tuple[str, str], None] = {}
        self.close_code = 0
        self._wake = asyncio.Event()

    def offer(self, kind: str, id: str) -> None:
        self.pending[kind, id] = None
        if len(self.pending) > PENDING_LIMIT:
            self.end(4408)
        self._wake.set()

    def end(self, code: int) -> None:
        self.close_code = code
        self._wake.set()

    async def next_hint(self) -> tuple[str, str] | None:
        """The oldest hint; None when the socket is to be closed."""
        while not self.pending and not self.close_code:
            self._wake.clear()
            await self._wake.wait()
        if self.close_code:
            return None
        hint = next(iter(self.pending))
        del self.pending[hint]
        return hint

    async def closing(self) -> None:
        while not self.close_code:
            self._wake.clear()
            await self._wake.wait()


class Hub:
    """What one process knows for all its live sockets: one Redis channel, one look at the database."""

    _of_loop: WeakKeyDictionary = WeakKeyDictionary()

    def __init__(self) -> None:
        self.sockets: set[LiveSocket] = set()
        self._seen: dict[tuple[str, str], tuple[UUID, datetime]] = {}
        self._heard: dict[tuple[str, str], tuple[UUID, datetime]] = {}
        self._joined: set[str] = set()
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        self._channel = f"mains.live.{uuid4().hex}"

    @classmethod
    def of_this_loop(cls) -> "Hub":
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    def attach(self, socket: LiveSocket) -> None:
        self.sockets.add(socket)
        self._wanted.set()
        if not self._tasks:
            self._tasks = [asyncio.ensure_future(work()) for work in (self._listen, self._join, self._look)]
        recent = timezone.now() - CATCH_UP
        for (kind, id), (project_id, at) in (*self._seen.items(), *self._heard.items()):
            if at > recent and project_id in socket.projects:
                socket.offer(kind, id)

    def detach(self, socket: LiveSocket) -> None:
        self.sockets.discard(socket)
        self._wanted.set()

    @property
    def projects(self) -> set[UUID]:
        return set().union(*(socket.projects for socket in self.sockets))

    def tell(self, project_id: UUID, kind: str, id: str) -> None:
        for socket in self.sockets:
            if project_id in socket.projects:
                socket.offer(kind, id)

    async def _listen(self) -> None:
        """Hear hints. Redis may be down: then the look finds what is new."""
        while True:
            try:
                message = await get_channel_layer().receive(self._channel)
                kind, id, project_id = str(message["kind"]), str(message["id"]), UUID(message["project"])
                self._heard[kind, id] = (project_id, timezone.now())
                self.tell(project_id, kind, id)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # redis raises its own family
                log.warning("live.deaf", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _join(self) -> None:
        """Keep the channel in the groups of all projects that somebody looks at."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._change_groups({group_of(pk) for pk in self.projects})
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("live.deaf", error=type(error).__name__)
                await asyncio.sleep(1)
                self._wanted.set()

    async def _change_groups(self, wanted: set[str]) -> None:
        layer = get_channel_layer()
        for group in wanted - self._joined:
            await layer.group_add(group, self._channel)
            self._joined.add(group)
        for group in self._joined - wanted:
            await layer.group_discard(group, self._channel)
            self._joined.discard(group)

    async def _look(self) -> None:
        """What is new in PostgreSQL; and now and then who may still hear of it."""
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            if not self.sockets:
                continue
            try:
                if loop.time() - checked >= RECHECK_S - LOOK_S:
                    asked = set(self.sockets)  # who comes meanwhile has just been asked for
                    self._narrow(asked, await rights_of({socket.session_key for socket in asked}))
                    checked = loop.time()
                self._digest(await news_of(self.projects))
            except DatabaseFault as error:
                log.warning("live.blind", error=type(error).__name__)

    def _narrow(self, asked: set[LiveSocket], rights: dict[str, frozenset[UUID]]) -> None:
        for socket in asked:
            if socket.session_key in rights:
                socket.projects = rights[socket.session_key]
            else:
                socket.end(4401)
        self._wanted.set()

    def _digest(self, news: list[News]) -> None:
        """Tell what neither an earlier look nor a hint has told."""
        for kind, pk, project_id, changed in news:
            key = (kind, str(pk))
            if self._seen.get(key) == (project_id, changed):
                continue
            self._seen[key] = (project_id, changed)
            if key not in self._heard or self._heard[key][1] < changed:
                self.tell(project_id, *key)
        old = timezone.now() - 2 * OVERLAP
        self._seen = {key: entry for key, entry in self._seen.items() if entry[1] > old}
        self._heard = {key: entry for key, entry in self._heard.items() if entry[1] > old}


def _news_of(projects: set[UUID]) -> list[News]:
    recent = {"project_id__in": projects, "updated_at__gt": Now() - OVERLAP}
    fields = ("pk", "project_id", "updated_at")
    resources = Resource.objects.filter(**recent).order_by("-updated_at").values_list("kind", *fields)[:ROW_LIMIT]
    operations = Operation.objects.filter(**recent).order_by("-updated_at").values_list(*fields)[:ROW_LIMIT]
    return [*resources, *(("operation", *row) for row in operations)] if projects else []


def _rights_of(session_keys: set[str]) -> dict[str, frozenset[UUID]]:
    users = users_of_sessions(session_keys)
    projects = {user.pk: _projects_of(user) for user in {user.pk: user for user in users.values()}.values()}
    return {key: projects[user.pk] for key, user in users.items()}


def _projects_of(user) -> frozenset[UUID]:
    if not user.grants.sees_everything:
        return frozenset(user.grants.projects("project.view"))
    projects = apps.get_model("tenants", "Project").objects.order_by("-created_at")
    return frozenset(projects.values_list("pk", flat=True)[:PROJECT_LIMIT])


# Not on the one thread that thread-sensitive code shares: a slow query of one must not stop all.
news_of = database_sync_to_async(_news_of, thread_sensitive=False)
rights_of = database_sync_to_async(_rights_of, thread_sensitive=False)


async def live(scope: dict, receive, send) -> None:
    """ASGI application of `/ws/live/`; a plain one, since nothing of Channels' consumers is needed."""
    await receive()  # websocket.connect
    if not origin_is_ours(scope):
        return await refuse(scope, receive, send, status=403, code="foreign_origin")
    session_key = session_key_of(scope)
    try:
        rights = await rights_of({session_key} - {""})
    except DatabaseFault:
        return await refuse(scope, receive, send, status=503, code="unavailable")
    if session_key not in rights:
        return await refuse(scope, receive, send, status=401, code="not_authenticated")
    await send({"type": "websocket.accept"})
    socket = LiveSocket(session_key, rights[session_key])
    hub = Hub.of_this_loop()
    hub.attach(socket)
    try:
        await _serve(socket, receive, send)
    finally:
        hub.detach(socket)


async def _serve(socket: LiveSocket, receive, send) -> None:
    work = [asyncio.ensure_future(one) for one in (_send_hints(socket, send), _until_gone(receive), socket.closing())]
    try:
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    if socket.close_code:
        await hang_up(send, socket.close_code)


async def _send_hints(socket: LiveSocket, send) -> None:
    while (hint := await socket.next_hint()) is not None:
        await send({"type": "websocket.send", "text": json.dumps({"kind": hint[0], "id": hint[1]})})


async def _until_gone(receive) -> None:
    """What pages say is of no interest, only that they are there."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
