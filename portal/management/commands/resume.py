"""`manage.py resume`: end maintenance."""
from typing import Any

from django.core.management.base import BaseCommand

from portal.kernel import maintenance
from portal.kernel.models import Operation


class Command(BaseCommand):
    """Harmless when there is no maintenance."""

    help = "End maintenance: waiting operations go on within seconds."

    def handle(self, *args: Any, **options: Any) -> None:
        ended = maintenance.end()
        waiting = Operation.objects.unfinished().count()
        self.stdout.write(f"{'Maintenance has ended' if ended else 'There was no maintenance'}. {waiting} operations go on.")
