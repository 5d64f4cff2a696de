"""Tables of measurements that are divided by time, which Django cannot make, and the two that are not."""
import django.db.models.deletion
from django.db import connection, migrations, models
from django.utils import timezone

MEASURED = [
    ("domain", models.UUIDField()),
    ("at", models.DateTimeField()),
    *[(name, models.BigIntegerField()) for name in (
        "cpu_ns", "read_bytes", "write_bytes", "reads", "writes", "rx_bytes", "tx_bytes", "rx_packets", "tx_packets")],
    *[(name, models.BigIntegerField(null=True)) for name in ("memory_bytes", "used_bytes", "rss_bytes")],
    ("pk", models.CompositePrimaryKey("domain", "at", blank=True, editable=False, primary_key=True, serialize=False)),
]
SUMMED = [*MEASURED, ("measured_ms", models.BigIntegerField()), ("vcpu_ms", models.BigIntegerField())]
COLUMNS = """
    domain uuid NOT NULL, at timestamptz NOT NULL,
    cpu_ns bigint NOT NULL, read_bytes bigint NOT NULL, write_bytes bigint NOT NULL, reads bigint NOT NULL, writes bigint NOT NULL,
    rx_bytes bigint NOT NULL, tx_bytes bigint NOT NULL, rx_packets bigint NOT NULL, tx_packets bigint NOT NULL,
    memory_bytes bigint, used_bytes bigint, rss_bytes bigint,
"""
OF_SAMPLES = "host uuid NOT NULL, epoch bigint NOT NULL, vcpus integer NOT NULL,"
OF_ROLLUPS = "measured_ms bigint NOT NULL, vcpu_ms bigint NOT NULL,"
TABLES = {"monitoring_sample": OF_SAMPLES, "monitoring_minute": OF_ROLLUPS, "monitoring_hour": OF_ROLLUPS,
          "monitoring_day": OF_ROLLUPS}


def make_tables(apps, schema_editor):
    """Each with a default partition, which stays empty."""
    for table, more in TABLES.items():
        schema_editor.execute("CREATE TABLE " + table + " (" + COLUMNS + more + " PRIMARY KEY (domain, at)) PARTITION BY RANGE (at)")
        schema_editor.execute("CREATE TABLE " + table + "_default PARTITION OF " + table + " DEFAULT")


def drop_tables(apps, schema_editor):
    for table in TABLES:
        schema_editor.execute("DROP TABLE " + table)


def make_partitions(apps, schema_editor):
    """Those of now and of the next days; a clock makes the others (monitoring.divide)."""
    from compute.monitoring.partitions import make_ahead

    if schema_editor.connection.alias == connection.alias:
        make_ahead(timezone.now())


class Migration(migrations.Migration):
    initial = True
    dependencies = [("hosts", "0004_host_network_versions_and_fault")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(name="Sample", fields=[
                    *MEASURED, ("host", models.UUIDField()), ("epoch", models.BigIntegerField()),
                    ("vcpus", models.IntegerField())], options={"abstract": False}),
                *[migrations.CreateModel(name=name, fields=SUMMED, options={"abstract": False})
                  for name in ("Minute", "Hour", "Day")],
            ],
            database_operations=[migrations.RunPython(make_tables, drop_tables),
                                 migrations.RunPython(make_partitions, migrations.RunPython.noop)],
        ),
        migrations.CreateModel(
            name="Due",
            fields=[("pk", models.CompositePrimaryKey("host", "at", blank=True, editable=False, primary_key=True,
                                                      serialize=False)),
                    ("host", models.UUIDField()), ("at", models.DateTimeField())],
            options={"indexes": [models.Index(fields=["at"], name="due_minutes")]},
        ),
        migrations.CreateModel(
            name="MeasuringPass",
            fields=[
                ("host", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True,
                                              related_name="measuring", serialize=False, to="hosts.host", verbose_name="host")),
                ("at", models.DateTimeField(verbose_name="time")),
                ("duration_ms", models.PositiveIntegerField(verbose_name="duration (ms)")),
                ("domains", models.PositiveIntegerField(default=0, verbose_name="domains")),
                ("fault", models.CharField(blank=True, max_length=500, verbose_name="fault")),
                ("passes", models.PositiveBigIntegerField(default=0, verbose_name="passes")),
                ("failures", models.PositiveBigIntegerField(default=0, verbose_name="failed passes")),
            ],
            options={"verbose_name": "measuring pass", "verbose_name_plural": "measuring passes"},
        ),
    ]
