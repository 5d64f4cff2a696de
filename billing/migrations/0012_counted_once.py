"""What counters counted is charged once, too: of a resource, from one moment on, at one price and tier."""
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_reports")]
    operations = [
        migrations.AddConstraint("charge", models.UniqueConstraint(
            fields=["resource", "meter", "sku", "span", "price", "tier"], name="counted_once", nulls_distinct=False,
            condition=Q(kind="usage", interval__isnull=True))),
    ]
