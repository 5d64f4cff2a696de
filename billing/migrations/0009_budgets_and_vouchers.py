"""Budgets with their alarms, credit that pays for some usage alone, and vouchers. What an alarm or the use of a voucher says is
never changed."""
import uuid
from decimal import Decimal

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FINAL = ("budgetalarm", "voucheruse")
ONE = """
CREATE TRIGGER {0}_is_final BEFORE UPDATE OR DELETE ON billing_{0} FOR EACH ROW EXECUTE FUNCTION billing_is_final();
CREATE TRIGGER {0}_never_emptied BEFORE TRUNCATE ON billing_{0} FOR EACH STATEMENT EXECUTE FUNCTION billing_is_final();
"""
NONE = """
DROP TRIGGER {0}_never_emptied ON billing_{0};
DROP TRIGGER {0}_is_final ON billing_{0};
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0008_collections"),
        ("kernel", "0010_newest_resources_of_all_kinds"),
        ("tenants", "0009_quota_requests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='credit',
            name='meters',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), blank=True, default=list, help_text='What it pays for; none: everything.', size=None, verbose_name='meters'),
        ),
        migrations.AddField(
            model_name='credit',
            name='region',
            field=models.ForeignKey(blank=True, help_text='Where it pays; none: everywhere.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='kernel.region', verbose_name='region'),
        ),
        migrations.CreateModel(
            name='Budget',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tag_key', models.CharField(blank=True, max_length=60, verbose_name='tag')),
                ('tag_value', models.CharField(blank=True, max_length=200, verbose_name='value of the tag')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14, verbose_name='amount a month')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('thresholds', models.JSONField(default=list, verbose_name='thresholds')),
                ('spent', models.DecimalField(decimal_places=10, default=Decimal('0'), max_digits=30, verbose_name='spent')),
                ('forecast', models.DecimalField(decimal_places=10, default=Decimal('0'), max_digits=30, verbose_name='forecast')),
                ('month', models.CharField(blank=True, help_text='Of what was spent.', max_length=7, verbose_name='month')),
                ('counted_at', models.DateTimeField(null=True, verbose_name='counted')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('deleted_at', models.DateTimeField(editable=False, null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='budgets', to='tenants.organization', verbose_name='organization')),
                ('project', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='budgets', to='tenants.project', verbose_name='project')),
            ],
            options={
                'verbose_name': 'budget',
                'verbose_name_plural': 'budgets',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='BudgetAlarm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField(verbose_name='month begins')),
                ('until', models.DateTimeField(verbose_name='month ends')),
                ('percent', models.PositiveIntegerField(verbose_name='percent')),
                ('basis', models.CharField(choices=[('actual', 'spent'), ('forecast', 'forecast')], max_length=8, verbose_name='of what')),
                ('actions', models.JSONField(default=list, verbose_name='actions')),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14, verbose_name='amount a month')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('spent', models.DecimalField(decimal_places=10, max_digits=30, verbose_name='spent')),
                ('forecast', models.DecimalField(decimal_places=10, max_digits=30, verbose_name='forecast')),
                ('at', models.DateTimeField(verbose_name='when')),
                ('budget', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='alarms', to='billing.budget', verbose_name='budget')),
            ],
            options={
                'verbose_name': 'budget alarm',
                'verbose_name_plural': 'budget alarms',
                'ordering': ['-at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Voucher',
            fields=[
                ('meters', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), blank=True, default=list, help_text='What it pays for; none: everything.', size=None, verbose_name='meters')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('digest', models.BinaryField(unique=True)),
                ('hint', models.CharField(editable=False, max_length=4, verbose_name='begins with')),
                ('amount', models.DecimalField(decimal_places=2, max_digits=14, verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('most_uses', models.PositiveIntegerField(default=1, help_text='How many organizations may redeem it; each can once.', verbose_name='uses')),
                ('valid_from', models.DateTimeField(verbose_name='valid from')),
                ('valid_until', models.DateTimeField(blank=True, null=True, verbose_name='valid until')),
                ('lifetime_days', models.PositiveIntegerField(blank=True, help_text='Days from redeeming on; empty: it never expires.', null=True, verbose_name='lifetime of the credit')),
                ('reason', models.CharField(help_text='The customer reads it.', max_length=200, verbose_name='reason')),
                ('created_at', models.DateTimeField(verbose_name='created')),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True, verbose_name='withdrawn')),
                ('made_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='made by')),
                ('region', models.ForeignKey(blank=True, help_text='Where it pays; none: everywhere.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='kernel.region', verbose_name='region')),
            ],
            options={
                'verbose_name': 'voucher',
                'verbose_name_plural': 'vouchers',
            },
        ),
        migrations.CreateModel(
            name='VoucherUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('used_at', models.DateTimeField(verbose_name='redeemed')),
                ('credit', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='voucher_use', to='billing.credit', verbose_name='credit')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization', verbose_name='organization')),
                ('used_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='redeemed by')),
                ('voucher', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='billing.voucher', verbose_name='voucher')),
            ],
            options={
                'verbose_name': 'use of a voucher',
                'verbose_name_plural': 'uses of vouchers',
            },
        ),
        migrations.AddIndex(
            model_name='budget',
            index=models.Index(condition=models.Q(('deleted_at', None)), fields=['organization'], name='budget_living'),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='budget_of_something'),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='budget_currency_iso'),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(('project', None), ('tag_key', ''), _connector='OR'), name='budget_of_project_or_tag'),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('tag_key', ''), _negated=True), ('tag_value', ''), _connector='OR'), name='budget_value_of_tag'),
        ),
        migrations.AddConstraint(
            model_name='budgetalarm',
            constraint=models.UniqueConstraint(fields=('budget', 'since', 'amount', 'currency', 'basis', 'percent'), name='budget_alarm_once'),
        ),
        migrations.AddConstraint(
            model_name='voucher',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='voucher_of_something'),
        ),
        migrations.AddConstraint(
            model_name='voucher',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='voucher_currency_iso'),
        ),
        migrations.AddConstraint(
            model_name='voucher',
            constraint=models.CheckConstraint(condition=models.Q(('most_uses__gt', 0)), name='voucher_for_somebody'),
        ),
        migrations.AddConstraint(
            model_name='voucher',
            constraint=models.CheckConstraint(condition=models.Q(('valid_until', None), ('valid_until__gt', models.F('valid_from')), _connector='OR'), name='voucher_ends_later'),
        ),
        migrations.AddConstraint(
            model_name='voucheruse',
            constraint=models.UniqueConstraint(fields=('voucher', 'organization'), name='voucher_once_for_each'),
        ),
        *[migrations.RunSQL(ONE.format(name), NONE.format(name)) for name in FINAL],
    ]
