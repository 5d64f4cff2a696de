"""Lines and charges keep the names that they were issued under.

What was issued before gets the names of today, which it showed until now; nothing else of it is touched, so its triggers look
away for that. All in one transaction, as every migration; millions of charges take longer than a request may.
"""
from django.db import migrations, models

NAME_THEM = """
SET LOCAL statement_timeout = '1h';
ALTER TABLE billing_invoiceline DISABLE TRIGGER invoiceline_is_final;
UPDATE billing_invoiceline AS line
SET project_name = COALESCE((SELECT name FROM tenants_project WHERE id = line.project_id), ''),
    region_name = COALESCE((SELECT name FROM kernel_region WHERE id = line.region_id), '')
WHERE project_id IS NOT NULL OR region_id IS NOT NULL;
ALTER TABLE billing_invoiceline ENABLE TRIGGER invoiceline_is_final;

ALTER TABLE billing_charge DISABLE TRIGGER charge_is_final;
ALTER TABLE billing_charge DISABLE TRIGGER charge_joins_nothing_old_later;
UPDATE billing_charge AS charge SET resource_name = resource.name, resource_tags = resource.tags
FROM kernel_resource AS resource WHERE resource.id = charge.resource_id;
ALTER TABLE billing_charge ENABLE TRIGGER charge_joins_nothing_old_later;
ALTER TABLE billing_charge ENABLE TRIGGER charge_is_final;
SET LOCAL statement_timeout TO DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_finance")]
    operations = [
        migrations.AddField("invoiceline", "project_name", models.CharField(
            "name of the project", max_length=100, blank=True, db_default="")),
        migrations.AddField("invoiceline", "region_name", models.CharField(
            "name of the region", max_length=80, blank=True, db_default="")),
        migrations.AddField("charge", "resource_name", models.CharField(
            "name of the resource", max_length=100, blank=True, db_default="")),
        migrations.AddField("charge", "resource_tags", models.JSONField("tags of the resource", null=True)),
        migrations.RunSQL(NAME_THEM, migrations.RunSQL.noop),
    ]
