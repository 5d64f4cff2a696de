"""Entries sum to zero when their transaction ends, and nothing that was booked or issued is changed afterwards.

The triggers bind the application's role. A charge may wait for its invoice: only then, and only once, it gets its line.
Nothing joins an entry or an invoice later either: both know the transaction in which they were written (a column of
PostgreSQL's alone), and legs, lines, charges and uses of credit are taken in that one only.
"""
from django.db import migrations

FINAL = ("entry", "leg", "invoice", "invoiceline", "payment", "credituse")

REFUSE_CHANGES = """
CREATE FUNCTION billing_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is booked is neither changed nor deleted (% of %)', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION billing_charge_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE waited billing_charge%ROWTYPE;
BEGIN
    waited := OLD;
    waited.line_id := NEW.line_id;
    IF TG_OP = 'UPDATE' AND OLD.line_id IS NULL AND NEW.line_id IS NOT NULL AND NEW *= waited THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a charge is neither changed nor deleted (%)', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER charge_is_final BEFORE UPDATE OR DELETE ON billing_charge
    FOR EACH ROW EXECUTE FUNCTION billing_charge_is_final();
CREATE TRIGGER charge_never_emptied BEFORE TRUNCATE ON billing_charge
    FOR EACH STATEMENT EXECUTE FUNCTION billing_is_final();

CREATE FUNCTION billing_entry_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_leg WHERE entry_id = NEW.entry_id GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'the legs of entry % do not sum to zero', NEW.entry_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_adds_up AFTER INSERT ON billing_leg DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION billing_entry_adds_up();
CREATE FUNCTION billing_entry_has_legs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_leg WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'entry % has no legs', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_has_legs AFTER INSERT ON billing_entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION billing_entry_has_legs();
"""
ONE_TRANSACTION = """
ALTER TABLE billing_entry ADD COLUMN written_in xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE billing_invoice ADD COLUMN written_in xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE FUNCTION billing_written_now() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written_in := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER entry_written_now BEFORE INSERT ON billing_entry FOR EACH ROW EXECUTE FUNCTION billing_written_now();
CREATE TRIGGER invoice_written_now BEFORE INSERT ON billing_invoice FOR EACH ROW EXECUTE FUNCTION billing_written_now();

CREATE FUNCTION billing_joins_nothing_old() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE is_old boolean;
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'billing_leg' THEN
        is_old := EXISTS (SELECT FROM added JOIN billing_entry AS entry ON entry.id = entry_id
                          WHERE entry.written_in <> pg_current_xact_id() OR entry.organization_id <> added.organization_id);
    WHEN 'billing_charge' THEN
        is_old := EXISTS (SELECT FROM (SELECT DISTINCT line_id FROM added WHERE line_id IS NOT NULL) AS lines
                          JOIN billing_invoiceline AS line ON line.id = line_id
                          JOIN billing_invoice AS invoice ON invoice.id = invoice_id
                          WHERE invoice.written_in <> pg_current_xact_id());
    ELSE
        is_old := EXISTS (SELECT FROM added JOIN billing_invoice AS invoice ON invoice.id = invoice_id
                          WHERE invoice.written_in <> pg_current_xact_id());
    END CASE;
    IF is_old THEN
        RAISE EXCEPTION 'nothing is added to what is booked (%)', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER leg_joins_nothing_old AFTER INSERT ON billing_leg REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_joins_nothing_old();
CREATE TRIGGER invoiceline_joins_nothing_old AFTER INSERT ON billing_invoiceline REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_joins_nothing_old();
CREATE TRIGGER credituse_joins_nothing_old AFTER INSERT ON billing_credituse REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_joins_nothing_old();
CREATE TRIGGER charge_joins_nothing_old AFTER INSERT ON billing_charge REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_joins_nothing_old();
CREATE TRIGGER charge_joins_nothing_old_later AFTER UPDATE ON billing_charge REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_joins_nothing_old();
"""
MANY_TRANSACTIONS = """
DROP TRIGGER charge_joins_nothing_old_later ON billing_charge;
DROP TRIGGER charge_joins_nothing_old ON billing_charge;
DROP TRIGGER credituse_joins_nothing_old ON billing_credituse;
DROP TRIGGER invoiceline_joins_nothing_old ON billing_invoiceline;
DROP TRIGGER leg_joins_nothing_old ON billing_leg;
DROP FUNCTION billing_joins_nothing_old();
DROP TRIGGER invoice_written_now ON billing_invoice;
DROP TRIGGER entry_written_now ON billing_entry;
DROP FUNCTION billing_written_now();
ALTER TABLE billing_invoice DROP COLUMN written_in;
ALTER TABLE billing_entry DROP COLUMN written_in;
"""
ALLOW_CHANGES = """
DROP TRIGGER entry_has_legs ON billing_entry;
DROP FUNCTION billing_entry_has_legs();
DROP TRIGGER entry_adds_up ON billing_leg;
DROP FUNCTION billing_entry_adds_up();
DROP TRIGGER charge_never_emptied ON billing_charge;
DROP TRIGGER charge_is_final ON billing_charge;
DROP FUNCTION billing_charge_is_final();
DROP FUNCTION billing_is_final();
"""
ONE = """
CREATE TRIGGER {0}_is_final BEFORE UPDATE OR DELETE ON billing_{0} FOR EACH ROW EXECUTE FUNCTION billing_is_final();
CREATE TRIGGER {0}_never_emptied BEFORE TRUNCATE ON billing_{0} FOR EACH STATEMENT EXECUTE FUNCTION billing_is_final();
"""
NONE = """
DROP TRIGGER {0}_never_emptied ON billing_{0};
DROP TRIGGER {0}_is_final ON billing_{0};
"""


class Migration(migrations.Migration):

    dependencies = [("billing", "0004_terms_ledger_invoices")]

    operations = [
        migrations.RunSQL(REFUSE_CHANGES, ALLOW_CHANGES),
        migrations.RunSQL(ONE_TRANSACTION, MANY_TRANSACTIONS),
        *[migrations.RunSQL(ONE.format(name), NONE.format(name)) for name in FINAL],
    ]
