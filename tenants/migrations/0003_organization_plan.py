"""By what an organization may take and how it pays; those that are there already go on as they were."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0002_notifications_seen'),
    ]

    operations = [
        migrations.AddField(
            model_name='organization',
            name='plan',
            field=models.CharField(choices=[('standard', 'Standard'), ('trial', 'Trial')], db_default='standard', default='standard', help_text='On trial, its credit pays: without any left, nothing new is started.', max_length=20, verbose_name='plan'),
        ),
        migrations.AddConstraint(
            model_name='organization',
            constraint=models.CheckConstraint(condition=models.Q(('plan__in', ['standard', 'trial'])), name='organization_plan_known'),
        ),
    ]
