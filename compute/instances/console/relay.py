"""The console websocket: a browser's noVNC or terminal on one side, the host's VNC port or serial line on the other.

Raw ASGI below Channels' router. The ticket is the only thing that the browser shows; which host, port and password is
known here alone, and the password is decrypted only to log in.
"""
import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import structlog
from channels.db import database_sync_to_async
from django.db import Error as DatabaseFault
from django.utils.translation import gettext_lazy as _

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import SerialTaken, VncAddress
from compute.hosts.models import Host
from compute.instances.console import operations
from compute.instances.console.models import ConsoleTicket
from compute.instances.console.principals import principal_of_socket
from compute.instances.console.rfb import RfbFault, let_in, log_in
from compute.instances.console.screen import Screen
from compute.instances.console.serial import Line, Seat
from compute.instances.console.viewing import LookingOnly, NotForViewers
from compute.instances.console.watch import OpenConsole, Watch
from compute.instances.models import Instance
from portal.kernel import requests
from portal.kernel.errors import HostFault, NotSignedIn, PortalError, StateConflict
from portal.kernel.handshake import hang_up, origin_is_ours, refuse

log = structlog.get_logger(__name__)

SUBPROTOCOL = "binary"
TICKET_PREFIX = "ticket."
CONNECT_LIMIT_S = 5
OPENING_LIMIT_S = 10
# With what waits in the server less than 2 MiB a socket. portal.web says the same; noVNC sends 10 KiB.
FRAME_LIMIT = 512 * 1024
# A hanging host blocks threads of its own, not those that ask the database.
_host_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="console-host")


class Unwanted(Exception):
    """The browser sent what no console sends."""

    def __init__(self, close_code: int) -> None:
        self.close_code = close_code


class SerialLineTaken(PortalError):
    """Another process of the portal or somebody on the host has it."""

    code, status = "serial_taken", 423
    title = _("Serial console in use")
    text = _("Somebody else has the serial console of this instance open. Take it over, or wait until they leave.")


class Browser:
    """The websocket as a wire of bytes."""

    def __init__(self, receive, send, console: OpenConsole) -> None:
        self._receive, self._send, self._console = receive, send, console
        self._rest = b""

    async def take(self) -> bytes | None:
        """The next bytes; None when the browser left."""
        if self._rest:
            content, self._rest = self._rest, b""
            return content
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        content = message.get("bytes")
        if content is None:
            raise Unwanted(1003)
        if len(content) > FRAME_LIMIT:
            raise Unwanted(1009)
        return content

    async def read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            more = await self.take()
            if more is None:
                raise EOFError
            content += more
        self._rest = content[count:]
        return content[:count]

    async def write(self, content: bytes) -> None:
        self._console.sending_since = asyncio.get_running_loop().time()
        await self._send({"type": "websocket.send", "bytes": content})
        self._console.sending_since = 0.0


async def console(scope: dict, receive, send) -> None:
    """ASGI application of `/ws/console/`."""
    await receive()  # websocket.connect
    offered = scope.get("subprotocols", [])
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    if not origin_is_ours(scope):
        return await refuse(scope, receive, send, status=403, code="foreign_origin")
    address = (scope.get("client") or [None])[0]
    requests.bind(requests.RequestContext(id=str(uuid4()), address=address))
    ticket = screen = None
    try:
        ticket, session_key = await _admit(scope, offered)
        screen = await (_sit_down(ticket) if ticket.type == ConsoleTicket.Type.SERIAL else _reach(ticket))
    except (PortalError, DatabaseFault) as error:
        if ticket is not None:
            await _close(ticket, reason=getattr(error, "code", "unavailable"))
        return await refuse(scope, receive, send, status=getattr(error, "status", 503), subprotocol=subprotocol,
                            code=getattr(error, "code", "unavailable"), detail=getattr(error, "detail", ""))
    session = OpenConsole(ticket.pk, session_key, is_view_only=ticket.is_view_only)
    traffic = _typed if ticket.type == ConsoleTicket.Type.SERIAL else _traffic
    try:
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        await _relay(session, traffic(session, screen, Browser(receive, send, session)))
        if session.close_code:
            await hang_up(send, session.close_code, session.reason)
    finally:
        screen.close()
        await _close(ticket, reason=session.reason or "left")


async def _admit(scope: dict, offered: list[str]) -> tuple[ConsoleTicket, str]:
    principal = await _principal(scope)
    if principal is None:
        raise NotSignedIn
    text = next((one.removeprefix(TICKET_PREFIX) for one in offered if one.startswith(TICKET_PREFIX)), "")
    if not text or SUBPROTOCOL not in offered:
        raise operations.TicketRefused
    if principal.api_key:
        requests.note_api_key(principal.api_key.pk)
    elif principal.user.acted_by:
        requests.note_impersonation(principal.user.acted_by, principal.user.pk)
    return await _open(text, principal), principal.session_key


async def _reach(ticket: ConsoleTicket) -> Screen:
    """A connection to the instance's screen, logged in. Raises StateConflict or a host's fault."""
    screen = None
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            address = await _locate(ticket.instance.host, ticket.instance_id)
            if address is None:
                raise StateConflict(state="off")
            screen = await Screen.connect(address.host, address.port)
            # Read now, not when the ticket was issued: another start, another password.
            await log_in(screen, await _password(ticket))
            return screen
    except (OSError, EOFError, RfbFault, TimeoutError) as error:
        if screen is not None:
            screen.close()
        log.warning("console.unreachable", instance=str(ticket.instance_id), error=str(error) or type(error).__name__)
        raise StateConflict(state="unreachable") from error


async def _sit_down(ticket: ConsoleTicket) -> Seat:
    """A seat at the instance's serial line. Raises SerialLineTaken or StateConflict."""
    try:
        async with asyncio.timeout(OPENING_LIMIT_S):
            return await Line.sit_down(ticket.instance.host, ticket.instance_id, takes_over=ticket.takes_over)
    except SerialTaken as error:
        raise SerialLineTaken from error
    except (HostFault, TimeoutError) as error:
        log.warning("console.unreachable", instance=str(ticket.instance_id), error=str(error) or type(error).__name__,
                    said=getattr(error, "__notes__", []))
        raise StateConflict(state="unreachable") from error


async def _relay(session: OpenConsole, traffic: Coroutine[None, None, None]) -> None:
    """Pass bytes both ways until one side leaves or the watch says no."""
    Watch.of_this_loop().add(session)
    ended = asyncio.ensure_future(session.ended.wait())
    passing = asyncio.ensure_future(traffic)
    try:
        await asyncio.wait({ended, passing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        Watch.of_this_loop().discard(session)
        for task in (ended, passing):
            task.cancel()
        await asyncio.gather(ended, passing, return_exceptions=True)


async def _traffic(session: OpenConsole, screen: Screen, browser: Browser) -> None:
    try:
        async with asyncio.timeout(OPENING_LIMIT_S):
            await let_in(browser)
        await _both_ways(session, screen, browser, _looks_to_screen if session.is_view_only else _to_screen)
    except Unwanted as error:
        session.end(error.close_code, "unwanted")
    except NotForViewers:
        session.end(1003, "unwanted")
    except RfbFault:
        session.end(1002, "not_rfb")
    except TimeoutError:
        session.end(4408, "no_opening")
    except (OSError, EOFError):
        pass  # the browser left


async def _typed(session: OpenConsole, seat: Seat, browser: Browser) -> None:
    """A serial line has no opening: what is typed is what passes."""
    try:
        await _both_ways(session, seat, browser, _looks_at_line if session.is_view_only else _to_screen)
    except Unwanted as error:
        session.end(error.close_code, "unwanted")
    except (OSError, EOFError):
        pass  # the browser left


async def _both_ways(session: OpenConsole, screen: Screen | Seat, browser: Browser,
                     to_screen: Callable[..., Coroutine[None, None, None]]) -> None:
    both = [asyncio.ensure_future(_to_browser(session, screen, browser)),
            asyncio.ensure_future(to_screen(session, screen, browser))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        results = await asyncio.gather(*both, return_exceptions=True)
    for error in results:
        if isinstance(error, Exception):
            raise error


async def _to_browser(session: OpenConsole, screen: Screen | Seat, browser: Browser) -> None:
    while content := await screen.take():
        await browser.write(content)
    session.end(4409, "screen_gone")


async def _to_screen(session: OpenConsole, screen: Screen | Seat, browser: Browser) -> None:
    while (content := await browser.take()) is not None:
        try:
            await screen.write(content)
        except EOFError:
            return session.end(4409, "screen_gone")


async def _looks_to_screen(session: OpenConsole, screen: Screen, browser: Browser) -> None:
    """As `_to_screen`, for who may look: nothing that would be typed, clicked or pasted goes on."""
    looking = LookingOnly()
    while (content := await browser.take()) is not None:
        try:
            if passed := looking.passes(content):
                await screen.write(passed)
        except EOFError:
            return session.end(4409, "screen_gone")


async def _looks_at_line(session: OpenConsole, seat: Seat, browser: Browser) -> None:
    """Whatever it is, nothing goes on."""
    while await browser.take() is not None:
        pass


def _locate_now(host: Host, instance_id: UUID) -> VncAddress | None:
    with hypervisor(host) as driver:
        return driver.vnc(instance_id)


def _password_now(ticket: ConsoleTicket) -> str:
    return Instance.objects.values_list("vnc_password", flat=True).get(pk=ticket.instance_id)


def _close_now(ticket: ConsoleTicket, *, reason: str) -> None:
    try:
        operations.close_console(ticket, reason=reason)
    except DatabaseFault as error:  # `seen_at` tells that it is over
        log.warning("console.close_not_noted", error=type(error).__name__)


# How the host is reached may be in the database: the region's key.
_locate = database_sync_to_async(_locate_now, thread_sensitive=False, executor=_host_threads)
_password = database_sync_to_async(_password_now, thread_sensitive=False)
_principal = database_sync_to_async(principal_of_socket, thread_sensitive=False)
_open = database_sync_to_async(operations.open_console, thread_sensitive=False)
_close = database_sync_to_async(_close_now, thread_sensitive=False)
