"""Books of what units cost us, bills by mail, and months that could not be closed."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0010_exports"),
        ("tenants", "0009_quota_requests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ClosingFailure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.CharField(max_length=7, verbose_name='month')),
                ('error', models.CharField(max_length=500, verbose_name='error')),
                ('tries', models.PositiveIntegerField(default=1, verbose_name='tries')),
                ('first_at', models.DateTimeField(verbose_name='first')),
                ('last_at', models.DateTimeField(verbose_name='last')),
            ],
            options={
                'verbose_name': 'month that was not closed',
                'verbose_name_plural': 'months that were not closed',
            },
        ),
        migrations.CreateModel(
            name='InvoiceMail',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('address', models.EmailField(max_length=254, verbose_name='address')),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('failed', 'Given up')], default='pending', max_length=16, verbose_name='state')),
                ('tries', models.PositiveSmallIntegerField(default=0, verbose_name='tries')),
                ('error', models.CharField(blank=True, max_length=200, verbose_name='error')),
                ('next_at', models.DateTimeField(verbose_name='next try')),
                ('token', models.BigIntegerField(default=0, editable=False)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('created_at', models.DateTimeField(verbose_name='created')),
                ('finished_at', models.DateTimeField(null=True, verbose_name='finished')),
            ],
            options={
                'verbose_name': 'mail of an invoice',
                'verbose_name_plural': 'mails of invoices',
            },
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='sends_mail',
            field=models.BooleanField(db_default=True, default=True, help_text='Every invoice and credit note as PDF.', verbose_name='mail bills to it'),
        ),
        migrations.AddField(
            model_name='pricebook',
            name='is_cost',
            field=models.BooleanField(db_default=False, default=False, help_text='For reports of the margin alone: nobody is billed by it, and what it does not price it does not know.', verbose_name='what a unit costs us'),
        ),
        migrations.AddConstraint(
            model_name='pricebook',
            constraint=models.CheckConstraint(condition=models.Q(('is_default', False), ('is_cost', False), _connector='OR'), name='default_book_is_for_customers', violation_error_message='The default book is what customers pay.'),
        ),
        migrations.AddField(
            model_name='closingfailure',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='invoicemail',
            name='asked_by',
            field=models.ForeignKey(help_text='Nobody: it was sent when it was issued.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='asked for by'),
        ),
        migrations.AddField(
            model_name='invoicemail',
            name='invoice',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='mails', to='billing.invoice', verbose_name='invoice'),
        ),
        migrations.AddConstraint(
            model_name='closingfailure',
            constraint=models.UniqueConstraint(fields=('organization', 'month'), name='one_failure_a_month'),
        ),
        migrations.AddIndex(
            model_name='invoicemail',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['next_at'], name='invoice_mail_due'),
        ),
        migrations.AddIndex(
            model_name='invoicemail',
            index=models.Index(fields=['invoice', '-created_at'], name='mails_of_invoice'),
        ),
        migrations.AddIndex(
            model_name='invoicemail',
            index=models.Index(fields=['-created_at', '-id'], name='invoice_mails_newest'),
        ),
        migrations.AddConstraint(
            model_name='invoicemail',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state', 'pending')), models.Q(('finished_at__isnull', False), ('state__in', ['sent', 'failed'])), _connector='OR'), name='invoice_mail_finished_when_settled'),
        ),
    ]
