"""`manage.py prune`: forget now what the retention rules let go (settings.RETENTION); the daily clock does the same."""
import argparse
from typing import Any

from django.core.management.base import BaseCommand

from portal.upkeep import retention


class Command(BaseCommand):
    """Prints a line a rule."""

    help = "Forget rows older than the retention settings allow. --dry-run only counts."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count, forget nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dry_run"]:
            for name, count in retention.prune().items():
                self.stdout.write(f"{name}: {count} forgotten")
            return
        for rule, count in retention.counts():
            days = rule.days()
            self.stdout.write(f"{rule.name}: " + (f"{count} older than {days} days" if days else "kept for ever"))
