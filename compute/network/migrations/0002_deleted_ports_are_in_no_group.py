"""A deleted port leaves its security groups: those deleted before do so now."""
from django.db import migrations


def leave(apps, schema_editor) -> None:
    apps.get_model("network", "Port").groups.through.objects.filter(port__deleted_at__isnull=False).delete()


class Migration(migrations.Migration):

    dependencies = [("network", "0001_initial"), ("kernel", "0006_plans_for_names_and_kinds")]

    operations = [migrations.RunPython(leave, migrations.RunPython.noop)]
