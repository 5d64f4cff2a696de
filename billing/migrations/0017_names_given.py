"""What was issued before names were kept gets the names of today, which it showed until now.

Nothing else of it is touched, so its triggers look away for that: invoices are read meanwhile, and none is written. Millions of
charges take longer than a request may.
"""
from django.db import migrations

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
    dependencies = [("billing", "0016_names_on_invoices")]
    operations = [migrations.RunSQL(NAME_THEM, migrations.RunSQL.noop)]
