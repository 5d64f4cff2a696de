"""`manage.py lab …`: the same commands with this stage's name and directory as defaults."""

import argparse

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from compute.lab import commands
from compute.lab.errors import LabError


class Command(BaseCommand):
    """Bring the lab up or down, look at its machines, cut one off or its power, add a host or remove it."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        commands.add_arguments(parser, name=settings.LAB_NAME, state=str(settings.STATE_DIR))

    def handle(self, *args: object, **options: object) -> None:
        try:
            well = commands.run(argparse.Namespace(**options), self.stdout.write)
        except LabError as error:
            raise CommandError(str(error)) from error
        if not well:
            raise CommandError("The lab is not up.")
