"""Who pays in advance, and the ladder of who does not pay."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0007_profile_says_what_holds"),
        ("tenants", "0009_quota_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name='Dunning',
            fields=[
                ('organization', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='dunning', serialize=False, to='tenants.organization', verbose_name='organization')),
                ('rung', models.CharField(choices=[('none', 'Nothing is due'), ('reminder', 'Reminded'), ('blocked', 'Nothing new starts'), ('stopped', 'Instances are stopped'), ('recycled', 'To be deleted')], default='none', max_length=20, verbose_name='rung')),
                ('cause', models.CharField(blank=True, choices=[('overdue', 'An invoice is overdue'), ('empty', 'What was paid in advance is used up')], max_length=20, verbose_name='cause')),
                ('began_at', models.DateTimeField(blank=True, null=True, verbose_name='since when it is due')),
                ('since', models.DateTimeField(blank=True, null=True, verbose_name='on this rung since')),
                ('next_at', models.DateTimeField(blank=True, help_text='Unless it is paid before.', null=True, verbose_name='next rung')),
                ('warned_hours', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='warned of the end, hours')),
                ('held_until', models.DateTimeField(blank=True, help_text='Until then it climbs no further.', null=True, verbose_name='held until')),
                ('hold_reason', models.CharField(blank=True, max_length=200, verbose_name='reason')),
            ],
            options={
                'verbose_name': 'dunning',
                'verbose_name_plural': 'dunning',
            },
        ),
        migrations.AddField(
            model_name='billingprofile',
            name='is_prepaid',
            field=models.BooleanField(default=False, help_text='Nothing starts without money or credit, and what is used up is followed within hours.', verbose_name='pays in advance'),
        ),
        migrations.AddField(
            model_name='issuer',
            name='block_days',
            field=models.PositiveSmallIntegerField(default=10, verbose_name='days overdue: nothing new starts'),
        ),
        migrations.AddField(
            model_name='issuer',
            name='recycle_days',
            field=models.PositiveSmallIntegerField(default=40, verbose_name='days overdue: to be deleted by operators'),
        ),
        migrations.AddField(
            model_name='issuer',
            name='reminder_days',
            field=models.PositiveSmallIntegerField(default=3, help_text='Days since the oldest unpaid invoice was due. For organizations that pay in advance these are hours since all is used.', verbose_name='days overdue: reminder'),
        ),
        migrations.AddField(
            model_name='issuer',
            name='stop_days',
            field=models.PositiveSmallIntegerField(default=20, verbose_name='days overdue: instances are stopped'),
        ),
        migrations.AddConstraint(
            model_name='issuer',
            constraint=models.CheckConstraint(condition=models.Q(('block_days__lt', models.F('stop_days')), ('reminder_days__lt', models.F('block_days')), ('stop_days__lt', models.F('recycle_days'))), name='issuer_rungs_climb', violation_error_message='Each of these days is later than the one before.'),
        ),
        migrations.AddIndex(
            model_name='dunning',
            index=models.Index(condition=models.Q(('rung', 'none'), _negated=True), fields=['rung'], name='dunning_of_rung'),
        ),
        migrations.AddConstraint(
            model_name='dunning',
            constraint=models.CheckConstraint(condition=models.Q(('rung__in', ['none', 'reminder', 'blocked', 'stopped', 'recycled'])), name='dunning_rung_known'),
        ),
        migrations.AddConstraint(
            model_name='dunning',
            constraint=models.CheckConstraint(condition=models.Q(('rung', 'none'), models.Q(('began_at__isnull', False), ('since__isnull', False)), _connector='OR'), name='dunning_rung_since'),
        ),
    ]
