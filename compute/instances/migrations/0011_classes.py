from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("instances", "0010_snapshots")]
    operations: list = [
        migrations.AddField(
            model_name='instancetype',
            name='cpu_mode',
            field=models.CharField(choices=[('host', 'As its host’s'), ('host-model', 'The model next to its host’s'), ('baseline', 'One that every host has')], db_default='host', default='host', max_length=16, verbose_name='processor'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='firmware',
            field=models.CharField(choices=[('bios', 'BIOS'), ('uefi', 'UEFI'), ('uefi-secure', 'UEFI with secure boot and TPM')], db_default='bios', default='bios', max_length=16, verbose_name='firmware'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='has_hugepages',
            field=models.BooleanField(db_default=False, default=False, help_text='Its memory is in pages of 2 MiB, which its host keeps free for that.', verbose_name='in huge pages'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='io_class',
            field=models.CharField(choices=[('emulated', 'Emulated (SATA and e1000: needs no drivers)'), ('virtio', 'Paravirtual (virtio)'), ('multiqueue', 'Paravirtual with a queue for each vCPU')], db_default='virtio', default='virtio', max_length=16, verbose_name='disks and cards'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='machine',
            field=models.CharField(choices=[('q35', 'q35 (PCI Express)'), ('i440fx', 'i440fx (PCI, for old systems)')], db_default='q35', default='q35', max_length=16, verbose_name='board'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='max_memory_mib',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='up to so much memory (MiB)'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='max_vcpus',
            field=models.PositiveIntegerField(blank=True, help_text='Of a custom type, whose size is chosen when it is used: from the vCPUs and memory above up to these.', null=True, verbose_name='up to so many vCPUs'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='memory_step_mib',
            field=models.PositiveIntegerField(db_default=1024, default=1024, verbose_name='memory in steps of (MiB)'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='numa_nodes',
            field=models.PositiveIntegerField(db_default=1, default=1, help_text='Among which vCPUs and memory are divided evenly, as the guest sees it.', verbose_name='NUMA nodes'),
        ),
        migrations.AddField(
            model_name='instancetype',
            name='vcpus_step',
            field=models.PositiveIntegerField(db_default=1, default=1, verbose_name='vCPUs in steps of'),
        ),
        migrations.AddConstraint(
            model_name='instancetype',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('max_memory_mib__isnull', True), ('max_vcpus__isnull', True)), models.Q(('max_memory_mib__gte', models.F('memory_mib')), ('max_memory_mib__isnull', False), ('max_vcpus__gte', models.F('vcpus')), ('max_vcpus__isnull', False), ('memory_step_mib__gt', 0), ('vcpus_step__gt', 0)), _connector='OR'), name='instance_type_range', violation_error_message='A custom type has both upper limits, no less than what it has at least, and steps above zero.'),
        ),
        migrations.AddConstraint(
            model_name='instancetype',
            constraint=models.CheckConstraint(condition=models.Q(('numa_nodes__gte', 1), ('numa_nodes__lte', 8), ('numa_nodes__lte', models.F('vcpus'))), name='instance_type_nodes', violation_error_message='From 1 to 8 NUMA nodes, and no more than it has vCPUs.'),
        ),
        migrations.AddConstraint(
            model_name='instancetype',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('firmware', 'uefi-secure'), _negated=True), ('machine', 'q35'), _connector='OR'), name='instance_type_secure_on_q35', violation_error_message='Secure boot is for the board q35 alone.'),
        ),
    ]
