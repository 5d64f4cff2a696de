"""The watcher: listens to hypervisor events and reconciles at once; also the engine's second pair of hands.

Events only make the reconciler run sooner than its 30 s. When doorbells go unanswered (no broker, no worker), the
watcher advances overdue operations itself, so that work goes on with PostgreSQL alone.
"""
import queue
import threading
import time
from typing import Any
from uuid import UUID

import structlog
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections, connection

from compute.hosts.connections import address_of
from compute.hosts.drivers.registry import watch_events
from compute.hosts.models import Host
from compute.instances.reconcile import reconcile_host
from portal.kernel.operations import engine

log = structlog.get_logger(__name__)
OVERDUE_S = 6
HOSTS_EVERY_S = 5
OVERDUE = """
SELECT id FROM kernel_operation WHERE state IN ('queued', 'running')
   AND run_after < clock_timestamp() - make_interval(secs => %s)
   AND (lease_until IS NULL OR lease_until < clock_timestamp() - make_interval(secs => %s)) ORDER BY run_after LIMIT 20
"""


class Command(BaseCommand):
    help = "Listen to hypervisor events, and advance operations that nobody else does."

    def handle(self, *args: Any, **options: Any) -> None:
        self.changed: queue.Queue[UUID] = queue.Queue()
        self.watched: set[UUID] = set()
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
                    self.watch_new_hosts()
                host_id = self.changed.get(timeout=1)
                time.sleep(0.2)  # events come in bunches; one pass answers them all
                waiting = {host_id}
                while not self.changed.empty():
                    waiting.add(self.changed.get())
                for one in waiting:
                    reconcile_host(one)
            except queue.Empty:
                continue
            except DatabaseError as error:
                log.warning("watch.database", error=type(error).__name__)

    def watch_new_hosts(self) -> None:
        for host in Host.objects.followed().select_related("endpoint"):
            if host.pk not in self.watched:
                self.watched.add(host.pk)
                watch_events(host.endpoint.driver, address_of(host.endpoint),
                             lambda _domain, _what, pk=host.pk: self.changed.put(pk))

    def help_out(self) -> None:
        """Advance what has been due for long."""
        with connection.cursor() as cursor:
            cursor.execute(OVERDUE, [OVERDUE_S, OVERDUE_S])
            overdue = [row[0] for row in cursor.fetchall()]
        for operation_id in overdue:
            log.info("watch.helps_out", operation_id=str(operation_id))
            engine.advance(operation_id)
