import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("hosts", "0004_host_network_versions_and_fault"), ("network", "0002_deleted_ports_are_in_no_group")]

    operations = [
        migrations.CreateModel(
            name="TrafficCount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("address", models.GenericIPAddressField(protocol="IPv4", verbose_name="address")),
                ("sku", models.CharField(max_length=100, verbose_name="SKU")),
                ("bytes_out", models.BigIntegerField(default=0, verbose_name="bytes sent out")),
                ("began_at", models.DateTimeField(verbose_name="since")),
                ("seen_at", models.DateTimeField(null=True, verbose_name="last seen")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("floating_ip", models.ForeignKey(
                    on_delete=django.db.models.deletion.PROTECT, related_name="traffic_counts", to="network.floatingip",
                    verbose_name="floating IP")),
                ("host", models.ForeignKey(
                    on_delete=django.db.models.deletion.PROTECT, related_name="traffic_counts", to="hosts.host",
                    verbose_name="host")),
            ],
            options={
                "verbose_name": "traffic counter",
                "verbose_name_plural": "traffic counters",
                "constraints": [models.UniqueConstraint(
                    condition=models.Q(("ended_at", None)), fields=("host", "floating_ip"),
                    name="address_counted_once_a_host")],
            },
        ),
    ]
