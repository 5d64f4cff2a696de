"""Make a stage's database and files fit the code, in one process, since Django takes seconds to start."""
import argparse
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Called by compute/lab/setup; each line that it prints is shown as progress."""

    help = __doc__
    requires_system_checks = ()  # migrate makes its own

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--static-only", action="store_true", help="for tests, which make their own database")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("collecting static files")
        call_command("collectstatic", interactive=False, verbosity=0)
        if options["static_only"]:
            return
        self.stdout.write("migrating the database")
        call_command("migrate", interactive=False)
        call_command("createcachetable")
        self.stdout.write("seeding catalogue and demo users")
        call_command("seed_demo")
