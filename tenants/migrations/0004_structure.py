"""Moved, archived and deleted projects; suspended and deleted organizations; names that tell a project from those beside it."""
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models


def tell_apart(apps, _schema) -> None:
    """Projects that share a place and a name: all but the oldest get a number."""
    project_model = apps.get_model("tenants", "Project")
    rows = list(project_model.objects.order_by("created_at", "pk").only("pk", "organization_id", "parent_id", "name"))
    taken = {(row.organization_id, row.parent_id, row.name.lower()) for row in rows}
    seen = set()
    for row in rows:
        place = (row.organization_id, row.parent_id)
        if (*place, row.name.lower()) in seen:
            stem, number = row.name[:90], 2
            while (*place, f"{stem} ({number})".lower()) in taken:
                number += 1
            row.name = f"{stem} ({number})"
            taken.add((*place, row.name.lower()))
            project_model.objects.filter(pk=row.pk).update(name=row.name)
        seen.add((*place, row.name.lower()))


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_organization_plan'),
    ]

    operations = [
        migrations.AddField(
            model_name='organization', name='suspended_at',
            field=models.DateTimeField(editable=False, help_text='Since then its members only look; nothing is made, changed or deleted.', null=True, verbose_name='suspended'),
        ),
        migrations.AddField(
            model_name='organization', name='suspension_reason',
            field=models.CharField(blank=True, default='', help_text='Its members read it while it is suspended.', max_length=300, verbose_name='reason of the suspension'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='organization', name='while_suspended',
            field=models.CharField(choices=[('keep', 'Instances go on running'), ('stop', 'Instances are stopped')], db_default='keep', default='keep', editable=False, max_length=10, verbose_name='while suspended'),
        ),
        migrations.AddField(
            model_name='organization', name='deleted_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='deleted'),
        ),
        migrations.AddField(
            model_name='project', name='archived_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='archived'),
        ),
        migrations.AddField(
            model_name='project', name='deleted_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='deleted'),
        ),
        migrations.AddIndex(
            model_name='organization',
            index=models.Index(condition=models.Q(('suspended_at__isnull', False)), fields=['id'], name='organization_suspended'),
        ),
        migrations.AddConstraint(
            model_name='organization',
            constraint=models.CheckConstraint(condition=models.Q(('while_suspended__in', ['keep', 'stop'])), name='organization_policy_known'),
        ),
        migrations.AddIndex(
            model_name='project',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['organization'], name='project_deleted'),
        ),
        migrations.RunPython(tell_apart, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.UniqueConstraint(models.F('organization'), models.F('parent'), django.db.models.functions.text.Lower('name'), condition=models.Q(('deleted_at', None)), name='project_name_once', nulls_distinct=False, violation_error_message='There is a project of this name here already.'),
        ),
        migrations.CreateModel(
            name='FormerPlace',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.JSONField(help_text='Ids from the root project to this one.', verbose_name='path')),
                ('until', models.DateTimeField(verbose_name='until')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='former_places', to='tenants.project', verbose_name='project')),
            ],
            options={
                'verbose_name': 'former place',
                'verbose_name_plural': 'former places',
                'ordering': ['until', 'pk'],
                'indexes': [models.Index(fields=['project', 'until'], name='former_place_of_project'), django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('path', name='jsonb_path_ops'), name='former_place_path')],
            },
        ),
    ]
