"""Rewrite every encrypted column with the newest master key."""
from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import transaction

from portal.kernel.secrets import encrypted_fields, rotations


class Command(BaseCommand):
    help = "Rewrite all secrets at rest with the first of MASTER_KEYS; older keys may be dropped afterwards."

    def handle(self, *args: object, **options: object) -> None:
        for model in apps.get_models():
            if names := encrypted_fields(model):
                self.stdout.write(f"{model._meta.label}: {self.rotate(model, names)} rows")
        for rotation in rotations:
            with transaction.atomic():
                label, count = rotation()
            self.stdout.write(f"{label}: {count} rows")

    @transaction.atomic
    def rotate(self, model: type, names: list[str]) -> int:
        count = 0
        for row in model._base_manager.select_for_update(of=("self",)).only("pk", *names).iterator():
            model._base_manager.filter(pk=row.pk).update(**{name: getattr(row, name) for name in names})
            count += 1
        return count
