"""Wait until no host is being prepared any more, so that a newcomer's first instance finds room."""
import argparse
import time
from typing import Any

from django.core.management.base import BaseCommand

from compute.hosts.models import Host


class Command(BaseCommand):
    """Called by compute/lab/setup when the portal runs; says what keeps hosts from being ready, and is content then."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, default=120, help="seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        end = time.monotonic() + options["limit"]
        while Host.objects.filter(state=Host.State.PREPARING).exists() and time.monotonic() < end:
            time.sleep(0.5)
        for host in Host.objects.exclude(state=Host.State.READY):
            self.stdout.write(f"WARNING: the host {host.name} is not ready: {host.state_reason or host.get_state_display()}")
