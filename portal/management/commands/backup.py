"""`manage.py backup [FILE]`: the database in one file, with a manifest beside it."""
import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from portal.kernel.models import PortalState
from portal.upkeep import backup
from portal.upkeep.postgres import Database, ToolFailed


class Command(BaseCommand):
    """Prints the file's name last, for scripts."""

    help = ("Copy the database to FILE (PostgreSQL's custom format) and FILE.json. MASTER_KEYS are not in it: without them its "
            "secrets are lost, so keep them elsewhere. The portal may go on working.")

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="default: backups/mains-TIME.dump in the state directory")

    def handle(self, *args: Any, **options: Any) -> None:
        file = options["file"] or settings.STATE_DIR / "backups" / f"mains-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
        try:
            manifest = backup.make(Database.of_settings(settings.DATABASES["default"]), file)
        except (backup.Refused, ToolFailed) as error:
            raise CommandError(str(error)) from None
        PortalState.objects.update_or_create(
            pk=PortalState.ONLY, defaults={"backup_at": parse_datetime(manifest.made_at), "backup_bytes": manifest.bytes})
        self.stderr.write("The master keys are not in the backup: keep MASTER_KEYS in another safe place.")
        self.stdout.write(str(file))
