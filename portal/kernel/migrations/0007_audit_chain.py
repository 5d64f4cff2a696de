"""Audit rows that nothing changes, in one chain of hashes for each organization; what filters and search need to be quick.

The triggers bind the application. Whoever switches them off (a superuser, the owner of the tables) is found by the chain.
"""
import uuid

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

import portal.kernel.secrets

APPEND_ONLY = """
CREATE FUNCTION kernel_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON kernel_auditevent
    FOR EACH ROW EXECUTE FUNCTION kernel_audit_append_only();
CREATE TRIGGER audit_never_emptied BEFORE TRUNCATE ON kernel_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION kernel_audit_append_only();

CREATE FUNCTION kernel_audit_chain_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.organization_id IS DISTINCT FROM OLD.organization_id OR NEW.sequence < OLD.sequence
       OR NEW.forgotten < OLD.forgotten THEN
        RAISE EXCEPTION 'a chain of audit rows only grows' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.forgotten > OLD.forgotten AND EXISTS (
        SELECT FROM kernel_auditevent WHERE chain_id = NEW.id AND sequence > OLD.forgotten AND sequence <= NEW.forgotten
           AND at > now() - interval '1 day') THEN
        RAISE EXCEPTION 'audit rows are kept for a day at least' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_chain_grows BEFORE UPDATE ON kernel_auditchain
    FOR EACH ROW EXECUTE FUNCTION kernel_audit_chain_grows();
"""
LIFTED = """
DROP TRIGGER audit_chain_grows ON kernel_auditchain;
DROP TRIGGER audit_never_emptied ON kernel_auditevent;
DROP TRIGGER audit_append_only ON kernel_auditevent;
DROP FUNCTION kernel_audit_chain_grows();
DROP FUNCTION kernel_audit_append_only();
"""


def pointer(name, to, label):
    """A foreign key whose index is the beginning of a longer one."""
    return migrations.AlterField(model_name="auditevent", name=name, field=models.ForeignKey(
        db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=to, verbose_name=label))


def index(name, *fields, **options):
    return migrations.AddIndex(model_name="auditevent", index=models.Index(fields=fields, name=name, **options))


class Migration(migrations.Migration):

    dependencies = [
        ("kernel", "0006_plans_for_names_and_kinds"),
        ("tenants", "0003_organization_plan"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditChain",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("sequence", models.PositiveBigIntegerField(default=0, verbose_name="sealed rows")),
                ("hash", models.BinaryField(default=b"")),
                ("sealed_at", models.DateTimeField(null=True, verbose_name="sealed")),
                ("forgotten", models.PositiveBigIntegerField(default=0, verbose_name="forgotten rows")),
                ("forgotten_hash", models.BinaryField(default=b"")),
                ("seal", portal.kernel.secrets.EncryptedTextField(default="")),
                ("verified_at", models.DateTimeField(null=True, verbose_name="verified")),
                ("verified", models.PositiveBigIntegerField(default=0, verbose_name="verified up to")),
                ("fault", models.CharField(blank=True, max_length=16, verbose_name="fault", choices=[
                    ("changed", "A row was changed"), ("missing", "Rows are missing"), ("inserted", "A row was put in"),
                    ("head", "The head of the chain was changed")])),
                ("fault_sequence", models.PositiveBigIntegerField(null=True, verbose_name="first broken row")),
                ("organization", models.OneToOneField(
                    null=True, on_delete=django.db.models.deletion.PROTECT, related_name="audit_chain",
                    to="tenants.organization", verbose_name="organization")),
            ],
            options={
                "verbose_name": "audit chain", "verbose_name_plural": "audit chains",
                "constraints": [
                    models.UniqueConstraint(fields=("organization",), nulls_distinct=False, name="audit_chain_once"),
                    models.CheckConstraint(condition=models.Q(("forgotten__lte", models.F("sequence"))),
                                           name="audit_chain_forgets_sealed_rows"),
                    models.CheckConstraint(condition=models.Q(("fault__in", ["", "changed", "missing", "inserted", "head"])),
                                           name="audit_chain_fault_known"),
                ],
            },
        ),
        migrations.AddField(model_name="auditevent", name="on_behalf_of", field=models.ForeignKey(
            db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+",
            to=settings.AUTH_USER_MODEL, verbose_name="on behalf of")),
        migrations.AddField(model_name="auditevent", name="route", field=models.CharField(
            blank=True, db_default="", max_length=200, verbose_name="route")),
        migrations.AddField(model_name="auditevent", name="chain", field=models.ForeignKey(
            db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="events",
            to="kernel.auditchain")),
        migrations.AddField(model_name="auditevent", name="sequence", field=models.PositiveBigIntegerField(
            null=True, verbose_name="number in the chain")),
        migrations.AddField(model_name="auditevent", name="hash", field=models.BinaryField(null=True)),
        migrations.AddConstraint(model_name="auditevent", constraint=models.UniqueConstraint(
            fields=("chain", "sequence"), name="audit_sequence_once")),
        pointer("actor", settings.AUTH_USER_MODEL, "actor"),
        pointer("organization", "tenants.organization", "organization"),
        pointer("project", "tenants.project", "project"),
        index("audit_of_organization", "organization", "-at", "-id"),
        index("audit_of_actor", "actor", "-at", "-id"),
        index("audit_of_action", "action", "-at", "-id"),
        index("audit_from_address", "address", "-at", "-id"),
        index("audit_of_kind", "target_type", "-at", "-id"),
        index("audit_of_target", "target_id"),
        index("audit_refused", "-at", "-id", condition=models.Q(("result", "ok"), _negated=True)),
        index("audit_not_sealed", "organization", "at", condition=models.Q(("chain", None))),
        migrations.AddIndex(model_name="auditevent", index=django.contrib.postgres.indexes.GinIndex(
            django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper("action"), name="gin_trgm_ops"),
            django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper("target_name"), name="gin_trgm_ops"),
            name="audit_words")),
        # Statistics as well as the index: without them every part of a word seems rare (0006).
        migrations.RunSQL("CREATE STATISTICS audit_upper_words ON (upper(action::text)), (upper(target_name::text)) "
                          "FROM kernel_auditevent", "DROP STATISTICS audit_upper_words"),
        migrations.RunSQL(APPEND_ONLY, LIFTED),
    ]
