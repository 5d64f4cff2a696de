"""API keys that are rotated, tied to addresses and to trees of projects; service users."""
import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("tenants", "0006_sign_in"),
    ]

    operations = [
        migrations.CreateModel(
            name='ServiceUser',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('description', models.CharField(blank=True, max_length=500, verbose_name='description')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('deleted_at', models.DateTimeField(editable=False, null=True, verbose_name='deleted')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='service_users', to='tenants.project', verbose_name='project')),
                ('user', models.OneToOneField(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='service', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'service user',
                'verbose_name_plural': 'service users',
                'ordering': ['name'],
            },
        ),
        migrations.AddField(
            model_name='apikey',
            name='expiry_told_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='includes_below',
            field=models.BooleanField(db_default=False, default=False, verbose_name='projects below it too'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='last_used_from',
            field=models.GenericIPAddressField(editable=False, null=True, verbose_name='last used from'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='networks',
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='Networks from which it is accepted; empty: from anywhere.', verbose_name='allowed addresses'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='previous_hash',
            field=models.CharField(blank=True, db_default='', editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name='apikey',
            name='previous_until',
            field=models.DateTimeField(editable=False, null=True, verbose_name='old secret valid until'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='previous_used_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='old secret last used'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='refused_at',
            field=models.DateTimeField(editable=False, help_text='When it came from an address that is not allowed.', null=True, verbose_name='last refused'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='rotated_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='rotated'),
        ),
        migrations.AddField(
            model_name='user',
            name='is_service',
            field=models.BooleanField(db_default=False, default=False, editable=False, verbose_name='service user'),
        ),
        migrations.AddIndex(
            model_name='apikey',
            index=models.Index(condition=models.Q(('expiry_told_at', None), ('revoked_at', None)), fields=['expires_at'], name='api_key_expiring'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('is_service', False), models.Q(('email', ''), ('is_staff', False), ('is_superuser', False), ('password__startswith', '!')), _connector='OR'), name='service_user_cannot_sign_in'),
        ),
        migrations.AddConstraint(
            model_name='serviceuser',
            constraint=models.CheckConstraint(condition=models.Q(('id', models.F('user'))), name='service_user_has_the_users_id'),
        ),
        migrations.AddConstraint(
            model_name='serviceuser',
            constraint=models.UniqueConstraint(models.F('project'), django.db.models.functions.text.Lower('name'), condition=models.Q(('deleted_at', None)), name='service_user_name_once', violation_error_message='There is a service user of this name here already.'),
        ),
    ]
