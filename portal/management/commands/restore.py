"""`manage.py restore FILE`: the backup takes the database's place. `--report`: what hosts have that no row knows."""
import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal.upkeep import restoration, strays
from portal.upkeep.backup import Refused, applied, pending_migrations
from portal.upkeep.postgres import Database, ToolFailed


class Command(BaseCommand):
    """Must work without a database: the one that was is perhaps gone."""

    help = ("Replace the database by the backup in FILE; what was there is kept under another name. Needs the MASTER_KEYS of the "
            "backup, and a role that may create databases. Afterwards the portal is in maintenance: read the report, resume.")
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path)
        parser.add_argument("--even-if-in-use", action="store_true",
                            help="although operations are under way or the portal runs: its connections are cut")
        parser.add_argument("--report", action="store_true",
                            help="without FILE: only what hosts, pools and fabrics have that no row knows")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["file"] is None and not options["report"]:
            raise CommandError("Name the backup's FILE, or say --report.")
        database = Database.of_settings(settings.DATABASES["default"])
        pending = self._restore(database, options) if options["file"] else pending_migrations(applied(database))
        if pending:
            self.stdout.write(f"The database is of an older version: {len(pending)} migrations are to be made. Start nothing "
                              "yet. Next: manage.py migrate, manage.py drain, manage.py restore --report, manage.py resume.")
            return
        self._report()

    def _restore(self, database: Database, options: dict[str, Any]) -> list[str]:
        try:
            done = restoration.restore(database, options["file"], even_if_in_use=options["even_if_in_use"], say=self.stdout.write)
        except (Refused, ToolFailed) as error:
            raise CommandError(f"{error}\nNothing was changed.") from None
        self.stdout.write(f"Restored the backup of {done.manifest.made_at} as {database.name}.")
        if done.kept_as:
            self.stdout.write(f"What was there is kept as {done.kept_as}; drop it when you need it no more.")
        self.stdout.write("The portal is in maintenance. Everybody signs in again. API keys, members and roles are as they were "
                          "at the backup: revoke again what was revoked since.")
        return done.pending

    def _report(self) -> None:
        found = 0
        for stray in strays.find():
            found += 1
            self.stdout.write(f"{stray.place}: {stray.sort} {stray.name} {stray.fact}")
        self.stdout.write(f"{found} differences between hosts and rows. `manage.py resume` lets work go on." if found else
                          "Hosts have nothing of ours that no row knows. `manage.py resume` lets work go on.")
