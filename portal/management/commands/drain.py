"""`manage.py drain`: begin maintenance. Steps at work end, no further one begins; changes are accepted and wait."""
import argparse
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.kernel import maintenance
from portal.kernel.models import Operation

LOOK_EVERY_S = 0.5


class Command(BaseCommand):
    """Ends well when no step is at work: then workers may be stopped."""

    help = "Begin maintenance and wait until no worker is in a step. Nothing is lost; `resume` lets work go on."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--reason", default="", help="shown to everybody on the pages' banner")
        parser.add_argument("--wait", type=int, default=120, metavar="SECONDS",
                            help="how long to wait for steps at work (0: not at all)")

    def handle(self, *args: Any, **options: Any) -> None:
        maintenance.begin(options["reason"])
        deadline = time.monotonic() + options["wait"]
        while (busy := maintenance.at_work()) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        if busy:
            names = ", ".join(f"{operation.kind} {operation.pk} in {operation.step_name}" for operation in busy)
            raise CommandError(f"Maintenance has begun, but steps are still at work: {names}. Workers that are stopped now "
                               "leave them to be done again, which is safe.")
        self.stdout.write(f"Drained. {Operation.objects.unfinished().count()} operations wait.")
