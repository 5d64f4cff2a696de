from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import (
    ADMINS,
    EVERYBODY,
    OPERATORS,
    Meter,
    Permission,
    QuotaDimension,
    ResourceKind,
    registry,
)


class InstancesConfig(AppConfig):
    """Instance types, SSH keys, instances and their consoles."""

    name = "compute.instances"
    label = "instances"
    verbose_name = _("Compute")

    def ready(self) -> None:
        from compute.instances import (  # noqa: F401  (registers the operation kinds)
            card_steps,
            copying,
            following,
            guarding,
            idle,
            kinds,
            lost_files,
            offers,
            passwords,
            recycling,
            resizing,
            stopping,
            suspension,
        )
        from compute.instances.launch_templates import verbs as templates
        from compute.instances.models import Instance, InstanceSchedule, LaunchTemplate, Snapshot
        from compute.instances.schedules import telling, verbs
        from compute.instances.snapshots import kinds as snapshot_kinds  # noqa: F401  (registers the operation kinds)
        from compute.instances.snapshots import reverting, taking
        from compute.instances.snapshots import verbs as snapshots
        from compute.instances.snapshots.models import METER
        from compute.instances.volumes import kinds as volume_kinds  # noqa: F401  (registers the operation kinds)
        from compute.instances.volumes import verbs as volumes

        registry.add(
            Permission(name="instance.view", label=_("See instances"), roles=EVERYBODY),
            Permission(name="instance.create", label=_("Create and resize instances"), roles=ADMINS),
            Permission(name="instance.operate", label=_("Start, stop, pause, suspend and rescue instances"), roles=OPERATORS),
            Permission(name="instance.console", label=_("Open consoles"), roles=OPERATORS),
            Permission(name="instance.update", label=_("Rename and describe instances"), roles=ADMINS),
            Permission(name="instance.delete", label=_("Delete, restore and rebuild instances"), roles=ADMINS),
            Permission(name="sshkey.view", label=_("See SSH keys"), roles=EVERYBODY),
            Permission(name="sshkey.manage", label=_("Add and delete SSH keys"), roles=OPERATORS),
            Permission(name=templates.VIEW, label=_("See launch templates"), roles=EVERYBODY),
            Permission(name=templates.CREATE, label=_("Create launch templates"), roles=ADMINS),
            Permission(name=templates.UPDATE, label=_("Change launch templates and save versions"), roles=ADMINS),
            Permission(name=templates.DELETE, label=_("Delete launch templates"), roles=ADMINS),
            Permission(name=snapshots.VIEW, label=_("See snapshots"), roles=EVERYBODY),
            Permission(name=snapshots.CREATE, label=_("Take snapshots"), roles=ADMINS),
            Permission(name=snapshots.REVERT, label=_("Revert instances to snapshots"), roles=ADMINS),
            Permission(name=snapshots.UPDATE, label=_("Rename and describe snapshots"), roles=ADMINS),
            Permission(name=snapshots.DELETE, label=_("Delete snapshots"), roles=ADMINS),
            ResourceKind(name="snapshot", label=_("Snapshot"), label_plural=_("Snapshots"), page="snapshots:detail",
                         api="snapshot-detail", permission=snapshots.VIEW, icon="camera"),
            Meter(name=METER, label=_("Snapshot"), unit="GiB-second", price_unit=_("GiB and hour"), service="Snapshots",
                  category="Storage"),
            QuotaDimension(name=taking.DIMENSION, label=_("Snapshots"), rows=Snapshot.objects.live),
            ResourceKind(name="launch_template", label=_("Launch template"), label_plural=_("Launch templates"),
                         page="launch_templates:detail", api="launch-template-detail", permission=templates.VIEW, icon="stack-2"),
            ResourceKind(name="instance", label=_("Instance"), label_plural=_("Instances"), page="instances:detail",
                         api="instance-detail", permission="instance.view", icon="server"),
            ResourceKind(name="ssh_key", label=_("SSH key"), label_plural=_("SSH keys"), page="ssh_keys:detail",
                         api="ssh-key-detail", permission="sshkey.view", icon="key"),
            Meter(name="instance.running", label=_("Instance, running"), unit="second", price_unit=_("hour"),
                  service="Instances", category="Compute"),
            *(Meter(name=name, label=label, unit="second", price_unit=_("hour"), service="Instances", category="Compute")
              for name, label in (("instance.stopped", _("Instance, stopped")), ("instance.paused", _("Instance, paused")),
                                  ("instance.suspended", _("Instance, suspended")),
                                  ("instance.recycled", _("Instance, in the recycle bin")))),
            *offers.METERS,
            offers.SKUS,
            idle.RULE,
            telling.KIND,
            *following.KINDS,
            lost_files.NOTICE,
            QuotaDimension(name="instances", label=_("Instances"), rows=Instance.objects.live),
            QuotaDimension(name="vcpus", label=_("vCPUs"), rows=Instance.objects.live, amount="vcpus"),
            QuotaDimension(name="memory_mib", label=_("Memory"), unit="MiB", rows=Instance.objects.live,
                           amount="memory_mib"),
            QuotaDimension(name=verbs.DIMENSION, label=_("Instance schedules"), rows=InstanceSchedule.objects.all,
                           regional=False),
            QuotaDimension(name=templates.DIMENSION, label=_("Launch templates"), rows=LaunchTemplate.objects.live,
                           regional=False),
        )
        if templates.end_with_project not in registry.project_end_hooks:
            registry.project_end_hooks.append(templates.end_with_project)
        if verbs.end_with_project not in registry.project_end_hooks:
            registry.project_end_hooks.append(verbs.end_with_project)
        if stopping.HOOK not in registry.stopping_hooks:
            registry.stopping_hooks.append(stopping.HOOK)
        for coming in (stopping.coming, resizing.coming, copying.coming, volumes.coming, taking.coming,
                       reverting.coming):
            if coming not in registry.coming_hooks:
                registry.coming_hooks.append(coming)
        if guarding.keep not in registry.change_guards:
            registry.change_guards.append(guarding.keep)
        if suspension.ring not in registry.suspension_hooks:
            registry.suspension_hooks.append(suspension.ring)
        if recycling.give_back not in registry.resumption_hooks:
            registry.resumption_hooks.append(recycling.give_back)
        if suspension.unpaid not in registry.unpaid_hooks:
            registry.unpaid_hooks.append(suspension.unpaid)
