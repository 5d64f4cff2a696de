"""Operators who break the glass, and who look at pages as somebody."""
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("tenants", "0007_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name='BreakGlass',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('reason', models.CharField(help_text='Read by those whose it is.', max_length=300, verbose_name='reason')),
                ('started_at', models.DateTimeField(verbose_name='started')),
                ('expires_at', models.DateTimeField(verbose_name='until')),
                ('ended_at', models.DateTimeField(editable=False, null=True, verbose_name='ended')),
                ('operator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='operator')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization', verbose_name='organization')),
                ('project', models.ForeignKey(blank=True, help_text='With all below it; empty: the whole organization.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.project', verbose_name='project')),
            ],
            options={
                'verbose_name': 'emergency access',
                'verbose_name_plural': 'emergency accesses',
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='Impersonation',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('reason', models.CharField(help_text='Read by those whose it is.', max_length=300, verbose_name='reason')),
                ('started_at', models.DateTimeField(verbose_name='started')),
                ('expires_at', models.DateTimeField(verbose_name='until')),
                ('ended_at', models.DateTimeField(editable=False, null=True, verbose_name='ended')),
                ('operator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='operator')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'impersonation',
                'verbose_name_plural': 'impersonations',
                'ordering': ['-started_at'],
            },
        ),
        migrations.AddIndex(
            model_name='breakglass',
            index=models.Index(condition=models.Q(('ended_at', None)), fields=['operator', 'expires_at'], name='break_glass_live'),
        ),
        migrations.AddIndex(
            model_name='breakglass',
            index=models.Index(fields=['organization', '-started_at', '-id'], name='break_glass_of_tenant'),
        ),
        migrations.AddConstraint(
            model_name='breakglass',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('started_at'))), name='break_glass_ends'),
        ),
        migrations.AddIndex(
            model_name='impersonation',
            index=models.Index(fields=['user', '-started_at'], name='impersonation_of_user'),
        ),
        migrations.AddConstraint(
            model_name='impersonation',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('started_at'))), name='impersonation_ends'),
        ),
        migrations.AddConstraint(
            model_name='impersonation',
            constraint=models.CheckConstraint(condition=models.Q(('operator', models.F('user')), _negated=True), name='impersonation_of_another'),
        ),
    ]
