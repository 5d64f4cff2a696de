"""Sign-in: sessions that people can see and end, single sign-on, and organizations that require a second factor."""
import uuid

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portal.kernel.secrets


class Migration(migrations.Migration):

    dependencies = [
        ("tenants", "0005_people"),
    ]

    operations = [
        migrations.CreateModel(
            name='BrowserSession',
            fields=[
                ('session_data', models.TextField(verbose_name='session data')),
                ('expire_date', models.DateTimeField(db_index=True, verbose_name='expire date')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('session_key', models.CharField(editable=False, max_length=40, unique=True)),
                ('agent', models.CharField(blank=True, max_length=200, verbose_name='browser')),
                ('address', models.GenericIPAddressField(null=True, verbose_name='address')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='signed in')),
                ('last_seen_at', models.DateTimeField(auto_now_add=True, verbose_name='last seen')),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'ordering': ['-last_seen_at'],
            },
        ),
        migrations.CreateModel(
            name='Connection',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('slug', models.SlugField(help_text='Part of the address to which the provider sends people back: /accounts/oidc/[short name]/login/callback/', max_length=40, unique=True, verbose_name='short name')),
                ('name', models.CharField(help_text='What its button says: “Sign in with …”.', max_length=40, verbose_name='name')),
                ('issuer', models.URLField(help_text="The provider's address, as it writes it into its tokens. It publishes /.well-known/openid-configuration below it.", max_length=300, verbose_name='issuer')),
                ('client_id', models.CharField(max_length=191, verbose_name='client ID')),
                ('client_secret', portal.kernel.secrets.EncryptedTextField(blank=True, verbose_name='client secret')),
                ('role', models.CharField(blank=True, default='viewer', help_text='In the whole organization. Empty: none.', max_length=20, verbose_name='role of new members')),
                ('is_only', models.BooleanField(default=False, help_text='People with addresses of its domains sign in with it and no other way, operators excepted.', verbose_name='only this way')),
                ('proves_mfa', models.BooleanField(default=False, help_text='Who has no password here and signs in with it needs no second factor where an organization requires one.', verbose_name='asks for a second factor itself')),
                ('is_listed', models.BooleanField(default=True, help_text='Without one, people type their address and are led to the provider of its domain.', verbose_name='button on the sign-in page')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='in use')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
            ],
            options={
                'verbose_name': 'single sign-on',
                'verbose_name_plural': 'single sign-on',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='ConnectionDomain',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=253, unique=True, validators=[django.core.validators.RegexValidator('^(?!-)[a-z0-9-]{1,63}(?:\\.[a-z0-9-]{1,63})+$', 'A domain in small letters, such as example.org.')], verbose_name='domain')),
            ],
            options={
                'verbose_name': 'e-mail domain',
                'verbose_name_plural': 'e-mail domains',
                'ordering': ['name'],
            },
        ),
        migrations.AddField(
            model_name='organization',
            name='requires_mfa',
            field=models.BooleanField(db_default=False, default=False, help_text='Its members, and their API keys, get to nothing in it until they have set up an authenticator app or a passkey.', verbose_name='requires two-step sign-in'),
        ),
        migrations.AddIndex(
            model_name='organization',
            index=models.Index(condition=models.Q(('requires_mfa', True)), fields=['id'], name='organization_wants_mfa'),
        ),
        migrations.AddField(
            model_name='browsersession',
            name='user',
            field=models.ForeignKey(help_text='None before somebody has signed in.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='browser_sessions', to=settings.AUTH_USER_MODEL, verbose_name='user'),
        ),
        migrations.AddField(
            model_name='connection',
            name='organization',
            field=models.ForeignKey(blank=True, help_text='Who signs in for the first time becomes a member of it; empty: of none.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='connections', to='tenants.organization', verbose_name='organization'),
        ),
        migrations.AddField(
            model_name='connectiondomain',
            name='connection',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='domains', to='tenants.connection', verbose_name='single sign-on'),
        ),
        migrations.AddIndex(
            model_name='browsersession',
            index=models.Index(condition=models.Q(('user__isnull', False)), fields=['user'], name='session_of_user'),
        ),
        migrations.AddConstraint(
            model_name='connection',
            constraint=models.UniqueConstraint(fields=('issuer', 'client_id'), name='connection_once'),
        ),
        migrations.AddConstraint(
            model_name='connection',
            constraint=models.CheckConstraint(condition=models.Q(('role__in', ['', 'admin', 'operator', 'viewer', 'billing'])), name='connection_role_known', violation_error_message='Not an owner.'),
        ),
    ]
