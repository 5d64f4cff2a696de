import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('console', '0001_initial'),
        ('instances', '0001_initial'),
        ('tenants', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='consoleticket',
            name='address',
            field=models.GenericIPAddressField(editable=False, null=True, verbose_name='address'),
        ),
        migrations.AddField(
            model_name='consoleticket',
            name='ended_at',
            field=models.DateTimeField(editable=False, help_text='When somebody ended its session.', null=True, verbose_name='ended'),
        ),
        migrations.AddField(
            model_name='consoleticket',
            name='ended_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='ended by'),
        ),
        migrations.CreateModel(
            name='ConsoleLink',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('secret_hash', models.CharField(editable=False, max_length=64, unique=True)),
                ('generation', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('expires_at', models.DateTimeField(verbose_name='expires')),
                ('revoked_at', models.DateTimeField(editable=False, null=True, verbose_name='revoked')),
                ('api_key', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.apikey', verbose_name='API key')),
                ('instance', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='console_links', to='instances.instance', verbose_name='instance')),
                ('maker', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='made by')),
            ],
            options={
                'verbose_name': 'console link',
                'verbose_name_plural': 'console links',
                'indexes': [models.Index(fields=['instance', 'expires_at'], name='console_link_of_instance')],
            },
        ),
        migrations.AddField(
            model_name='consoleticket',
            name='link',
            field=models.ForeignKey(help_text='By which it was opened: to look, not to type.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='tickets', to='console.consolelink', verbose_name='console link'),
        ),
        migrations.AddIndex(
            model_name='consoleticket',
            index=models.Index(condition=models.Q(('closed_at', None), ('used_at__isnull', False)), fields=['instance'], name='console_open_of_instance'),
        ),
    ]
