import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("kernel", "0002_initial"),
        ("tenants", "0001_initial"),
        ("billing", "0005_books_that_nobody_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("meter", models.CharField(max_length=60, verbose_name="meter")),
                ("epoch", models.BigIntegerField(verbose_name="epoch")),
                ("sku", models.CharField(max_length=100, verbose_name="SKU")),
                ("project", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.project", verbose_name="project")),
                ("region", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="kernel.region", verbose_name="region")),
                ("resource", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="counters", to="kernel.resource", verbose_name="resource")),
            ],
            options={
                "verbose_name": "counter",
                "verbose_name_plural": "counters",
                "constraints": [models.UniqueConstraint(fields=("resource", "meter", "epoch"), name="counter_once_an_epoch")],
            },
        ),
        migrations.CreateModel(
            name="CounterSample",
            fields=[
                ("pk", models.CompositePrimaryKey("counter", "at", blank=True, editable=False, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(verbose_name="at")),
                ("value", models.BigIntegerField(verbose_name="value")),
                ("counter", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="samples", to="billing.counter", verbose_name="counter")),
            ],
            options={
                "verbose_name": "counter sample",
                "verbose_name_plural": "counter samples",
                "constraints": [models.CheckConstraint(condition=models.Q(("value__gte", 0)), name="sample_not_negative")],
            },
        ),
    ]
