"""Terms, tiers and outages; the ledger; invoices with their charges."""

import uuid
from decimal import Decimal

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0003_usage_newest_first'),
        ('kernel', '0009_audit_names_that_can_be_erased'),
        ('tenants', '0009_quota_requests'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BillingProfile',
            fields=[
                ('organization', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='billing_profile', serialize=False, to='tenants.organization', verbose_name='organization')),
                ('name', models.CharField(blank=True, help_text="Empty: the organization's.", max_length=200, verbose_name='name on the invoice')),
                ('address', models.TextField(blank=True, max_length=500, verbose_name='address')),
                ('country', models.CharField(blank=True, help_text="ISO 3166, two capitals; empty: the issuer's.", max_length=2, verbose_name='country')),
                ('tax_id', models.CharField(blank=True, max_length=50, verbose_name='tax id')),
                ('email', models.EmailField(blank=True, help_text='Empty: the owners.', max_length=254, verbose_name='e-mail for invoices')),
                ('language', models.CharField(choices=[('en', 'English'), ('zh-hans', '简体中文')], default='en', max_length=10, verbose_name='language')),
                ('is_prepaid', models.BooleanField(default=False, help_text='Nothing starts without a balance.', verbose_name='pays in advance')),
                ('is_tax_exempt', models.BooleanField(default=False, verbose_name='without tax')),
            ],
            options={
                'verbose_name': 'billing profile',
                'verbose_name_plural': 'billing profiles',
            },
        ),
        migrations.CreateModel(
            name='Charge',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('usage', 'Usage'), ('correction', 'Correction'), ('adjustment', 'Adjustment'), ('rounding', 'Rounding')], max_length=20, verbose_name='kind')),
                ('meter', models.CharField(blank=True, max_length=60, verbose_name='meter')),
                ('sku', models.CharField(blank=True, max_length=100, verbose_name='SKU')),
                ('text', models.CharField(blank=True, max_length=200, verbose_name='text')),
                ('span', django.contrib.postgres.fields.ranges.DateTimeRangeField(help_text='UTC, half-open.', verbose_name='period')),
                ('units', models.DecimalField(decimal_places=6, default=0, max_digits=20, verbose_name='units')),
                ('quantity', models.DecimalField(decimal_places=12, default=0, help_text='Unit-seconds billed.', max_digits=40, verbose_name='quantity')),
                ('unit_price', models.DecimalField(decimal_places=10, max_digits=20, null=True, verbose_name='price per hour')),
                ('tier', models.DecimalField(decimal_places=6, default=0, max_digits=20, verbose_name='from')),
                ('discount_percent', models.DecimalField(decimal_places=2, default=0, max_digits=5, verbose_name='discount, percent')),
                ('list_amount', models.DecimalField(decimal_places=10, default=0, max_digits=30, verbose_name='before discount')),
                ('amount', models.DecimalField(decimal_places=10, max_digits=30, verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('created_at', models.DateTimeField(verbose_name='created')),
            ],
            options={
                'verbose_name': 'charge',
                'verbose_name_plural': 'charges',
            },
        ),
        migrations.CreateModel(
            name='CreditUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('amount', models.DecimalField(decimal_places=2, max_digits=20, verbose_name='amount')),
            ],
            options={
                'verbose_name': 'use of credit',
                'verbose_name_plural': 'uses of credit',
            },
        ),
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=200, unique=True, verbose_name='key')),
                ('kind', models.CharField(max_length=40, verbose_name='kind')),
                ('text', models.CharField(blank=True, max_length=200, verbose_name='text')),
                ('at', models.DateTimeField(verbose_name='booked')),
            ],
            options={
                'verbose_name': 'ledger entry',
                'verbose_name_plural': 'ledger entries',
            },
        ),
        migrations.CreateModel(
            name='Invoice',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('invoice', 'Invoice'), ('credit_note', 'Credit note')], default='invoice', max_length=20, verbose_name='kind')),
                ('number', models.CharField(max_length=40, unique=True, verbose_name='number')),
                ('month', models.CharField(help_text="Such as 2026-11, in the issuer's time zone.", max_length=7, verbose_name='month')),
                ('period', django.contrib.postgres.fields.ranges.DateTimeRangeField(help_text='UTC, half-open.', verbose_name='period')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('subtotal', models.DecimalField(decimal_places=2, max_digits=20, verbose_name='subtotal')),
                ('credit', models.DecimalField(decimal_places=2, default=0, max_digits=20, verbose_name='paid by credit')),
                ('tax_name', models.CharField(blank=True, max_length=40, verbose_name='tax')),
                ('tax_percent', models.DecimalField(decimal_places=2, default=0, max_digits=5, verbose_name='tax, percent')),
                ('tax', models.DecimalField(decimal_places=2, default=0, max_digits=20, verbose_name='tax amount')),
                ('total', models.DecimalField(decimal_places=2, max_digits=20, verbose_name='total')),
                ('seller', models.JSONField(help_text='As it was when issued.', verbose_name='seller')),
                ('buyer', models.JSONField(help_text='As it was when issued.', verbose_name='buyer')),
                ('reason', models.CharField(blank=True, max_length=200, verbose_name='reason')),
                ('issued_at', models.DateTimeField(verbose_name='issued')),
                ('due_at', models.DateTimeField(verbose_name='due')),
            ],
            options={
                'verbose_name': 'invoice',
                'verbose_name_plural': 'invoices',
            },
        ),
        migrations.CreateModel(
            name='InvoiceLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField(verbose_name='position')),
                ('kind', models.CharField(max_length=20, verbose_name='kind')),
                ('meter', models.CharField(blank=True, max_length=60, verbose_name='meter')),
                ('sku', models.CharField(blank=True, max_length=100, verbose_name='SKU')),
                ('text', models.CharField(blank=True, max_length=200, verbose_name='text')),
                ('quantity', models.DecimalField(decimal_places=12, default=0, help_text='Unit-seconds.', max_digits=40, verbose_name='quantity')),
                ('unit_price', models.DecimalField(decimal_places=10, max_digits=20, null=True, verbose_name='price')),
                ('tier', models.DecimalField(decimal_places=6, default=0, max_digits=20, verbose_name='from')),
                ('discount_percent', models.DecimalField(decimal_places=2, default=0, max_digits=5, verbose_name='discount, percent')),
                ('amount', models.DecimalField(decimal_places=2, max_digits=20, verbose_name='amount')),
            ],
            options={
                'verbose_name': 'invoice line',
                'verbose_name_plural': 'invoice lines',
            },
        ),
        migrations.CreateModel(
            name='Issuer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('address', models.TextField(blank=True, max_length=500, verbose_name='address')),
                ('country', models.CharField(default='CN', help_text='ISO 3166, two capitals.', max_length=2, verbose_name='country')),
                ('tax_id', models.CharField(blank=True, max_length=50, verbose_name='tax id')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='e-mail')),
                ('bank', models.TextField(blank=True, max_length=500, verbose_name='bank details')),
                ('time_zone', models.CharField(default='UTC', max_length=60, verbose_name='time zone')),
                ('prefix', models.CharField(blank=True, default='INV-', max_length=10, verbose_name='invoice numbers begin with')),
                ('due_days', models.PositiveSmallIntegerField(default=14, verbose_name='days to pay')),
            ],
            options={
                'verbose_name': 'issuer',
                'verbose_name_plural': 'issuers',
            },
        ),
        migrations.CreateModel(
            name='Leg',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('account', models.CharField(choices=[('cash', 'Money received'), ('receivable', 'Receivable'), ('prepaid', 'Paid in advance'), ('revenue', 'Revenue'), ('tax', 'Tax owed'), ('credits', 'Credit given'), ('write_off', 'Written off')], max_length=20, verbose_name='account')),
                ('amount', models.DecimalField(decimal_places=2, help_text='Debit above, credit below zero.', max_digits=20, verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
            ],
            options={
                'verbose_name': 'leg',
                'verbose_name_plural': 'legs',
            },
        ),
        migrations.CreateModel(
            name='Outage',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('meters', models.JSONField(blank=True, default=list, help_text='Which are free then; empty: all.', verbose_name='meters')),
                ('period', django.contrib.postgres.fields.ranges.DateTimeRangeField(help_text='UTC, half-open.', verbose_name='period')),
                ('reason', models.CharField(max_length=200, verbose_name='reason')),
                ('created_at', models.DateTimeField(verbose_name='created')),
            ],
            options={
                'verbose_name': 'outage',
                'verbose_name_plural': 'outages',
            },
        ),
        migrations.CreateModel(
            name='Payment',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('amount', models.DecimalField(decimal_places=2, max_digits=20, verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('provider', models.CharField(help_text='Who moved the money; manual: an operator saw it.', max_length=40, verbose_name='provider')),
                ('reference', models.CharField(help_text="The provider's own name of it, used once.", max_length=100, verbose_name='reference')),
                ('received_at', models.DateTimeField(verbose_name='received')),
            ],
            options={
                'verbose_name': 'payment',
                'verbose_name_plural': 'payments',
            },
        ),
        migrations.CreateModel(
            name='PriceTier',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_quantity', models.DecimalField(decimal_places=6, help_text='Unit-hours a month.', max_digits=20, verbose_name='from')),
                ('price_per_hour', models.DecimalField(decimal_places=10, max_digits=20, verbose_name='price per hour')),
            ],
            options={
                'verbose_name': 'tier',
                'verbose_name_plural': 'tiers',
                'ordering': ['from_quantity'],
            },
        ),
        migrations.CreateModel(
            name='Series',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, unique=True, verbose_name='name')),
                ('last', models.PositiveBigIntegerField(default=0, verbose_name='last number')),
            ],
            options={
                'verbose_name': 'series of numbers',
                'verbose_name_plural': 'series of numbers',
            },
        ),
        migrations.CreateModel(
            name='TaxRate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('country', models.CharField(help_text='ISO 3166, two capitals.', max_length=2, verbose_name='country')),
                ('name', models.CharField(help_text='As on the invoice, such as VAT.', max_length=40, verbose_name='name')),
                ('percent', models.DecimalField(decimal_places=2, max_digits=5, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)], verbose_name='percent')),
                ('since', models.DateField(verbose_name='since')),
            ],
            options={
                'verbose_name': 'tax rate',
                'verbose_name_plural': 'tax rates',
                'ordering': ['country', '-since'],
            },
        ),
        migrations.CreateModel(
            name='Terms',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('discount_percent', models.DecimalField(decimal_places=2, default=0, max_digits=5, verbose_name='discount, percent')),
                ('valid', django.contrib.postgres.fields.ranges.DateTimeRangeField(help_text='UTC, half-open; without an end until further notice.', verbose_name='valid')),
            ],
            options={
                'verbose_name': 'terms',
                'verbose_name_plural': 'terms',
            },
        ),
        migrations.AddField(
            model_name='price',
            name='granularity_s',
            field=models.PositiveIntegerField(db_default=1, default=1, help_text='Seconds: 1, 60 or 3600. A step that has begun is billed whole.', verbose_name='billed in steps of'),
        ),
        migrations.AddField(
            model_name='price',
            name='minimum_s',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Seconds.', verbose_name='billed at least for'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(('granularity_s__in', [1, 60, 3600])), name='price_steps_known'),
        ),
        migrations.AddConstraint(
            model_name='billingprofile',
            constraint=models.CheckConstraint(condition=models.Q(('country', ''), ('country__regex', '^[A-Z]{2}$'), _connector='OR'), name='profile_country_iso'),
        ),
        migrations.AddField(
            model_name='charge',
            name='interval',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='charges', to='billing.usageinterval', verbose_name='interval'),
        ),
        migrations.AddField(
            model_name='charge',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='charge',
            name='price',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.price', verbose_name='price'),
        ),
        migrations.AddField(
            model_name='charge',
            name='project',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.project', verbose_name='project'),
        ),
        migrations.AddField(
            model_name='charge',
            name='region',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='kernel.region', verbose_name='region'),
        ),
        migrations.AddField(
            model_name='charge',
            name='resource',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='kernel.resource', verbose_name='resource'),
        ),
        migrations.AddField(
            model_name='credituse',
            name='credit',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uses', to='billing.credit', verbose_name='credit'),
        ),
        migrations.AddField(
            model_name='entry',
            name='actor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor'),
        ),
        migrations.AddField(
            model_name='entry',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='invoice',
            name='corrects',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credit_notes', to='billing.invoice', verbose_name='takes back part of'),
        ),
        migrations.AddField(
            model_name='invoice',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='invoices', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='entry',
            name='invoice',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='billing.invoice', verbose_name='invoice'),
        ),
        migrations.AddField(
            model_name='credituse',
            name='invoice',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='credit_uses', to='billing.invoice', verbose_name='invoice'),
        ),
        migrations.AddField(
            model_name='invoiceline',
            name='invoice',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='billing.invoice', verbose_name='invoice'),
        ),
        migrations.AddField(
            model_name='invoiceline',
            name='project',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.project', verbose_name='project'),
        ),
        migrations.AddField(
            model_name='invoiceline',
            name='region',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='kernel.region', verbose_name='region'),
        ),
        migrations.AddField(
            model_name='charge',
            name='line',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='charges', to='billing.invoiceline', verbose_name='invoice line'),
        ),
        migrations.AddConstraint(
            model_name='issuer',
            constraint=models.CheckConstraint(condition=models.Q(('id', 1)), name='one_issuer'),
        ),
        migrations.AddConstraint(
            model_name='issuer',
            constraint=models.CheckConstraint(condition=models.Q(('country__regex', '^[A-Z]{2}$')), name='issuer_country_iso'),
        ),
        migrations.AddField(
            model_name='leg',
            name='entry',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='legs', to='billing.entry', verbose_name='ledger entry'),
        ),
        migrations.AddField(
            model_name='leg',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='outage',
            name='recorded_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='recorded by'),
        ),
        migrations.AddField(
            model_name='outage',
            name='resource',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='outages', to='kernel.resource', verbose_name='resource'),
        ),
        migrations.AddField(
            model_name='payment',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payments', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='payment',
            name='recorded_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='recorded by'),
        ),
        migrations.AddField(
            model_name='pricetier',
            name='price',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tiers', to='billing.price', verbose_name='price'),
        ),
        migrations.AddConstraint(
            model_name='taxrate',
            constraint=models.UniqueConstraint(fields=('country', 'since'), name='one_tax_rate_a_day'),
        ),
        migrations.AddConstraint(
            model_name='taxrate',
            constraint=models.CheckConstraint(condition=models.Q(('percent__gte', 0), ('percent__lte', 100)), name='tax_percent'),
        ),
        migrations.AddConstraint(
            model_name='taxrate',
            constraint=models.CheckConstraint(condition=models.Q(('country__regex', '^[A-Z]{2}$')), name='tax_country_iso'),
        ),
        migrations.AddField(
            model_name='terms',
            name='book',
            field=models.ForeignKey(blank=True, help_text='Empty: the list prices.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='terms', to='billing.pricebook', verbose_name='price book'),
        ),
        migrations.AddField(
            model_name='terms',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='terms', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddIndex(
            model_name='invoice',
            index=models.Index(fields=['organization', '-issued_at', '-id'], name='invoices_of_organization'),
        ),
        migrations.AddIndex(
            model_name='invoice',
            index=models.Index(fields=['-issued_at', '-id'], name='invoices_newest'),
        ),
        migrations.AddConstraint(
            model_name='invoice',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'invoice')), fields=('organization', 'month', 'currency'), name='one_invoice_a_month'),
        ),
        migrations.AddConstraint(
            model_name='invoice',
            constraint=models.CheckConstraint(condition=models.Q(('total', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('subtotal'), '-', models.F('credit')), '+', models.F('tax')))), name='invoice_adds_up'),
        ),
        migrations.AddConstraint(
            model_name='invoice',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='invoice_currency_iso'),
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(fields=['organization', '-at', '-id'], name='entries_of_organization'),
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(fields=['-at', '-id'], name='entries_newest'),
        ),
        migrations.AddConstraint(
            model_name='credituse',
            constraint=models.UniqueConstraint(fields=('credit', 'invoice'), name='credit_used_once_an_invoice'),
        ),
        migrations.AddConstraint(
            model_name='credituse',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='credit_use_of_something'),
        ),
        migrations.AddConstraint(
            model_name='invoiceline',
            constraint=models.UniqueConstraint(fields=('invoice', 'position'), name='one_line_a_position'),
        ),
        migrations.AddIndex(
            model_name='charge',
            index=models.Index(fields=['line'], name='charges_of_line'),
        ),
        migrations.AddIndex(
            model_name='charge',
            index=models.Index(condition=models.Q(('line', None)), fields=['organization'], name='charges_that_wait'),
        ),
        migrations.AddIndex(
            model_name='charge',
            index=models.Index(fields=['interval'], name='charges_of_interval'),
        ),
        migrations.AddConstraint(
            model_name='charge',
            constraint=models.UniqueConstraint(condition=models.Q(('interval__isnull', False), ('kind', 'usage')), fields=('interval', 'span', 'price', 'tier'), name='charged_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='charge',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='charge_currency_iso'),
        ),
        migrations.AddIndex(
            model_name='leg',
            index=models.Index(fields=['organization', 'account', 'currency'], include=('amount',), name='legs_balance'),
        ),
        migrations.AddConstraint(
            model_name='leg',
            constraint=models.UniqueConstraint(fields=('entry', 'account', 'currency'), name='one_leg_an_account'),
        ),
        migrations.AddConstraint(
            model_name='leg',
            constraint=models.CheckConstraint(condition=models.Q(('amount', Decimal('0')), _negated=True), name='leg_of_something'),
        ),
        migrations.AddConstraint(
            model_name='leg',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='leg_currency_iso'),
        ),
        migrations.AddConstraint(
            model_name='leg',
            constraint=models.CheckConstraint(condition=models.Q(('account__in', ['cash', 'receivable', 'prepaid', 'revenue', 'tax', 'credits', 'write_off'])), name='leg_account_known'),
        ),
        migrations.AddIndex(
            model_name='outage',
            index=django.contrib.postgres.indexes.GistIndex(fields=['period'], name='outage_when'),
        ),
        migrations.AddConstraint(
            model_name='outage',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('resource', '='), ('period', '&&')], name='outage_never_twice'),
        ),
        migrations.AddConstraint(
            model_name='outage',
            constraint=models.CheckConstraint(condition=models.Q(('period__isempty', False)), name='outage_not_empty'),
        ),
        migrations.AddConstraint(
            model_name='outage',
            constraint=models.CheckConstraint(condition=models.Q(('period__lower_inc', True), ('period__lower_inf', False), ('period__upper_inc', False), ('period__upper_inf', False)), name='outage_bounded'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['organization', '-received_at', '-id'], name='payments_of_organization'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['-received_at', '-id'], name='payments_newest'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.UniqueConstraint(fields=('provider', 'reference'), name='paid_once'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('amount', Decimal('0')), _negated=True), name='payment_of_something'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='payment_currency_iso'),
        ),
        migrations.AddConstraint(
            model_name='pricetier',
            constraint=models.UniqueConstraint(fields=('price', 'from_quantity'), name='one_tier_from_there'),
        ),
        migrations.AddConstraint(
            model_name='pricetier',
            constraint=models.CheckConstraint(condition=models.Q(('from_quantity__gt', 0)), name='tier_from_something'),
        ),
        migrations.AddConstraint(
            model_name='pricetier',
            constraint=models.CheckConstraint(condition=models.Q(('price_per_hour__gte', 0)), name='tier_price_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='terms',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('organization', '='), ('valid', '&&')], name='one_terms_at_a_time'),
        ),
        migrations.AddConstraint(
            model_name='terms',
            constraint=models.CheckConstraint(condition=models.Q(('valid__isempty', False)), name='terms_valid_sometime'),
        ),
        migrations.AddConstraint(
            model_name='terms',
            constraint=models.CheckConstraint(condition=models.Q(('valid__lower_inc', True), ('valid__lower_inf', False), ('valid__upper_inc', False)), name='terms_half_open'),
        ),
        migrations.AddConstraint(
            model_name='terms',
            constraint=models.CheckConstraint(condition=models.Q(('discount_percent__gte', 0), ('discount_percent__lte', 100)), name='terms_discount_percent'),
        ),
    ]
