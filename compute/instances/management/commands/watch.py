"""The watcher: listens to hypervisor events and reconciles at once; also the engine's second pair of hands.

Events only make the reconciler run sooner than its 30 s. When doorbells go unanswered (no broker, no worker), the
watcher advances overdue operations itself, so that work goes on with PostgreSQL alone.
"""
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections, connection

from compute.hosts.connections import address_of
from compute.hosts.drivers.registry import watch_events
from compute.hosts.models import Endpoint, Host
from compute.instances import happenings
from compute.instances.reconcile import reconcile_host
from portal.kernel import maintenance
from portal.kernel.operations import engine

log = structlog.get_logger(__name__)
OVERDUE_S = 6
HOSTS_EVERY_S = 5
MOST_HAPPENINGS = 1000  # guests make them, as many as they like
OVERDUE = """
SELECT id FROM kernel_operation WHERE state IN ('queued', 'running')
   AND run_after < clock_timestamp() - make_interval(secs => %s)
   AND (lease_until IS NULL OR lease_until < clock_timestamp() - make_interval(secs => %s)) ORDER BY run_after LIMIT 20
"""


@dataclass(frozen=True)
class Watch:
    """Who listens to a host, and where the host was then."""

    place: tuple[str, ...]
    stop: threading.Event


class Command(BaseCommand):
    help = "Listen to hypervisor events, and advance operations that nobody else does."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.changed: queue.Queue[UUID | None] = queue.Queue()  # None: nothing but a happening
        self.happened: deque[tuple[UUID, UUID, str]] = deque(maxlen=MOST_HAPPENINGS)
        self.watched: dict[UUID, Watch] = {}

    def handle(self, *args: Any, **options: Any) -> None:
        listener = threading.Thread(target=self.listen, daemon=True)
        listener.start()
        # A listener that died of a fault must not leave a watcher that looks alive: the supervisor starts a new one.
        while listener.is_alive():
            try:
                close_old_connections()
                self.help_out()
            except DatabaseError as error:
                log.warning("watch.database", error=type(error).__name__)
            time.sleep(2)
        raise CommandError("the listener has ended; its fault is logged above")

    def listen(self) -> None:
        """Watch every host that becomes ready; reconcile whichever speaks."""
        looked = 0.0
        while True:
            try:
                if time.monotonic() - looked > HOSTS_EVERY_S:
                    looked = time.monotonic()
                    close_old_connections()
                    self.follow_hosts()
                host_id = self.changed.get(timeout=1)
                time.sleep(0.2)  # events come in bunches; one pass answers them all
                waiting = {host_id}
                while not self.changed.empty():
                    waiting.add(self.changed.get())
                self.note_down()
                self.look_at(waiting - {None})
            except queue.Empty:
                continue
            except DatabaseError as error:
                log.warning("watch.database", error=type(error).__name__)

    def follow_hosts(self) -> None:
        """A listener for each host that is followed, where it is now; none for those that are gone."""
        places = {host.pk: (host.endpoint, _place(host.endpoint)) for host in Host.objects.followed().select_related("endpoint")}
        for pk, watch in list(self.watched.items()):
            if pk not in places or places[pk][1] != watch.place:
                self.watched.pop(pk).stop.set()
        for pk in places.keys() - self.watched.keys():
            endpoint, place = places[pk]
            self.watched[pk] = Watch(place, threading.Event())
            watch_events(endpoint.driver, address_of(endpoint), partial(self.hear, pk), stop=self.watched[pk].stop)

    def hear(self, host_id: UUID, domain: UUID | None, what: str) -> None:
        """Called by the drivers' threads."""
        if domain is None or not happenings.is_one(what):
            self.changed.put(host_id)
            return
        if not self.happened:
            self.changed.put(None)
        self.happened.append((host_id, domain, what))

    def note_down(self) -> None:
        """What states do not tell; first, since it explains what they tell."""
        heard = dict.fromkeys(self.happened.popleft() for _one in range(len(self.happened)))
        if maintenance.is_on():
            return
        for host_id, domain, what in heard:
            happenings.note(host_id, domain, what)

    def look_at(self, host_ids: set[UUID]) -> None:
        """Again later at those that somebody else is looking at just now: that may have begun before the event."""
        if maintenance.is_on():  # all hosts are looked at when it ends
            return
        for pk in host_ids:
            if not reconcile_host(pk) and Host.objects.followed().filter(pk=pk).exists():
                self.changed.put(pk)

    def help_out(self) -> None:
        """Advance what has been due for long; nothing is due in maintenance."""
        if maintenance.is_on():
            return
        with connection.cursor() as cursor:
            cursor.execute(OVERDUE, [OVERDUE_S, OVERDUE_S])
            overdue = [row[0] for row in cursor.fetchall()]
        for operation_id in overdue:
            log.info("watch.helps_out", operation_id=str(operation_id))
            engine.advance(operation_id)


def _place(endpoint: Endpoint) -> tuple[str, ...]:
    return endpoint.driver, endpoint.uri, endpoint.host_key, endpoint.private_key
