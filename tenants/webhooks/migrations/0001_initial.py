"""Webhooks and what is sent to them."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portal.kernel.secrets


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tenants', '0003_organization_plan'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('description', models.CharField(blank=True, max_length=500, verbose_name='description')),
                ('url', models.CharField(max_length=500, verbose_name='address')),
                ('events', models.JSONField(default=list, help_text='Patterns such as instance.* or *.failed.', verbose_name='events')),
                ('state', models.CharField(choices=[('enabled', 'Enabled'), ('failing', 'Failing'), ('disabled', 'Disabled')], default='enabled', max_length=16, verbose_name='state')),
                ('is_gone', models.BooleanField(default=False, help_text='Disabled because the receiver answered 410.', verbose_name='gone')),
                ('secret', portal.kernel.secrets.EncryptedTextField()),
                ('previous_secret', portal.kernel.secrets.EncryptedTextField(blank=True, default='', help_text='Signs too until the date below.')),
                ('previous_until', models.DateTimeField(null=True)),
                ('told_at', models.DateTimeField(help_text='When its maker was told that it fails.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('deleted_at', models.DateTimeField(editable=False, null=True)),
                ('maker', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='made by')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='webhooks', to='tenants.organization', verbose_name='organization')),
                ('project', models.ForeignKey(blank=True, help_text='Empty: all of the organization.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='webhooks', to='tenants.project', verbose_name='project')),
            ],
            options={
                'verbose_name': 'webhook',
                'verbose_name_plural': 'webhooks',
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('event_id', models.UUIDField(verbose_name='event')),
                ('type', models.CharField(max_length=120, verbose_name='type')),
                ('payload', models.JSONField(verbose_name='payload')),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('succeeded', 'Delivered'), ('failed', 'Given up')], default='pending', max_length=16, verbose_name='state')),
                ('tries', models.PositiveSmallIntegerField(default=0, help_text='Since it was made or last sent again.', verbose_name='tries')),
                ('attempts', models.JSONField(default=list, help_text='The newest last: at, status, ms, error, answer.', verbose_name='attempts')),
                ('next_at', models.DateTimeField(verbose_name='next try')),
                ('token', models.BigIntegerField(default=0, editable=False)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('finished_at', models.DateTimeField(null=True, verbose_name='finished')),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='webhooks.webhook', verbose_name='webhook')),
            ],
            options={
                'verbose_name': 'delivery',
                'verbose_name_plural': 'deliveries',
                'ordering': ['-created_at'],
            },
        ),
        migrations.AddIndex(
            model_name='webhook',
            index=models.Index(condition=models.Q(('deleted_at', None), ('state__in', ['enabled', 'failing'])), fields=['organization'], name='webhook_sending'),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['enabled', 'failing', 'disabled'])), name='webhook_state_known'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['webhook', 'next_at'], name='delivery_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['webhook', '-created_at', '-id'], name='delivery_listing'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['-created_at', '-id'], name='delivery_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='delivery_finished'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('webhook', 'event_id'), name='delivery_once_a_webhook'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state', 'pending')), models.Q(('finished_at__isnull', False), ('state__in', ['succeeded', 'failed'])), _connector='OR'), name='delivery_finished_when_settled'),
        ),
    ]
