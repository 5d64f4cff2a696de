
import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('kernel', '0007_audit_chain'),
        ('tenants', '0008_operators'),
    ]

    operations = [
        migrations.AlterField(
            model_name='quota',
            name='region',
            field=models.ForeignKey(blank=True, help_text='Empty for what is counted once for all regions.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='kernel.region', verbose_name='region'),
        ),
        migrations.CreateModel(
            name='QuotaRequest',
            fields=[
                ('state_changed_at', models.DateTimeField(auto_now_add=True)),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('dimension', models.CharField(max_length=60, verbose_name='resource')),
                ('wanted', models.BigIntegerField(verbose_name='wanted limit')),
                ('reason', models.CharField(max_length=500, verbose_name='reason')),
                ('state', models.CharField(choices=[('open', 'Undecided'), ('granted', 'Granted'), ('partly', 'Partly granted'), ('refused', 'Refused'), ('withdrawn', 'Withdrawn')], default='open', max_length=10, verbose_name='state')),
                ('granted', models.BigIntegerField(editable=False, null=True, verbose_name='granted limit')),
                ('answer', models.CharField(blank=True, max_length=500, verbose_name='answer')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('decided_at', models.DateTimeField(editable=False, null=True, verbose_name='decided')),
                ('decided_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='decided by')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='quota_requests', to='tenants.organization', verbose_name='organization')),
                ('project', models.ForeignKey(blank=True, help_text='Empty: the whole organization.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='quota_requests', to='tenants.project', verbose_name='project')),
                ('region', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='kernel.region', verbose_name='region')),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
            ],
            options={
                'verbose_name': 'quota request',
                'verbose_name_plural': 'quota requests',
                'ordering': ['-created_at'],
                'indexes': [models.Index(fields=['organization', '-created_at', '-id'], name='quota_request_listing'), models.Index(condition=models.Q(('state', 'open')), fields=['created_at'], name='quota_request_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['open', 'granted', 'partly', 'refused', 'withdrawn'])), name='quota_request_state_known'), models.CheckConstraint(condition=models.Q(('wanted__gt', 0)), name='quota_request_wants_something'), models.CheckConstraint(condition=models.Q(models.Q(('granted__isnull', False), ('state__in', ['granted', 'partly'])), models.Q(('granted', None), ('state__in', ['open', 'refused', 'withdrawn'])), _connector='OR'), name='quota_request_granted_when_so'), models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('organization', 'project', 'region', 'dimension'), name='quota_request_open_once', nulls_distinct=False)],
            },
        ),
    ]
