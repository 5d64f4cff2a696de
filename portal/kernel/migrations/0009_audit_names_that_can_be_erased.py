"""Names of people in the audit trail can be erased without breaking its chain; a clock looks at a part of the chains each minute.

Rows of before stay as they are: what they are named is part of what was sealed.
"""
from django.db import migrations, models

APPEND_ONLY = """
CREATE OR REPLACE FUNCTION kernel_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sealed kernel_auditevent%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM kernel_auditchain WHERE id = OLD.chain_id AND forgotten >= OLD.sequence) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        sealed := OLD;
        sealed.chain_id := NEW.chain_id;
        sealed.sequence := NEW.sequence;
        sealed.hash := NEW.hash;
        IF OLD.chain_id IS NULL AND NEW.chain_id IS NOT NULL AND NEW.sequence IS NOT NULL AND NEW.hash IS NOT NULL
           AND NEW *= sealed THEN
            RETURN NEW;
        END IF;
        sealed := OLD;
        sealed.target_name := '';
        sealed.name_salt := NULL;
        IF OLD.name_hash IS NOT NULL AND OLD.name_salt IS NOT NULL AND NEW *= sealed THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit rows are neither changed nor deleted (%)', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""
BEFORE = """
CREATE OR REPLACE FUNCTION kernel_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sealed kernel_auditevent%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM kernel_auditchain WHERE id = OLD.chain_id AND forgotten >= OLD.sequence) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        sealed := OLD;
        sealed.chain_id := NEW.chain_id;
        sealed.sequence := NEW.sequence;
        sealed.hash := NEW.hash;
        IF OLD.chain_id IS NULL AND NEW.chain_id IS NOT NULL AND NEW.sequence IS NOT NULL AND NEW.hash IS NOT NULL
           AND NEW *= sealed THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit rows are neither changed nor deleted (%)', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [("kernel", "0007_audit_chain")]

    operations = [
        migrations.AddField(model_name="auditevent", name="name_salt", field=models.BinaryField(null=True)),
        migrations.AddField(model_name="auditevent", name="name_hash", field=models.BinaryField(null=True)),
        migrations.AddField(model_name="auditchain", name="looked",
                            field=models.PositiveBigIntegerField(default=0, editable=False)),
        migrations.AddField(model_name="auditchain", name="looked_at", field=models.DateTimeField(null=True, editable=False)),
        migrations.RunSQL(APPEND_ONLY, BEFORE),
    ]
