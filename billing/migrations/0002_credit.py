"""Credit that organizations spend on usage; a row that is there is never changed."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

REFUSE_CHANGES = """
CREATE FUNCTION billing_credit_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a credit is never changed; grant a further one' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER credit_is_final BEFORE UPDATE ON billing_credit
    FOR EACH ROW EXECUTE FUNCTION billing_credit_is_final();
"""
ALLOW_CHANGES = """
DROP TRIGGER credit_is_final ON billing_credit;
DROP FUNCTION billing_credit_is_final();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0001_initial'),
        ('tenants', '0003_organization_plan'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Credit',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14, verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('reason', models.CharField(max_length=200, verbose_name='reason')),
                ('expires_at', models.DateTimeField(blank=True, help_text='UTC; empty: never.', null=True, verbose_name='expires')),
                ('created_at', models.DateTimeField(verbose_name='created')),
                ('granted_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='granted by')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='credits', to='tenants.organization', verbose_name='organization')),
            ],
            options={
                'verbose_name': 'credit',
                'verbose_name_plural': 'credits',
                'indexes': [models.Index(fields=['organization', 'created_at'], name='credit_of_organization')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='credit_of_something'), models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='credit_currency_iso'), models.CheckConstraint(condition=models.Q(('expires_at', None), ('expires_at__gt', models.F('created_at')), _connector='OR'), name='credit_expires_later')],
            },
        ),
        migrations.RunSQL(REFUSE_CHANGES, ALLOW_CHANGES),
    ]
