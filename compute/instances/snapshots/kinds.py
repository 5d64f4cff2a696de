"""How snapshots are taken, gone back to and deleted: steps in order, and what is left."""
from django.utils.translation import gettext_lazy as _

from compute.instances import steps as instances
from compute.instances.kinds import LABELS
from compute.instances.snapshots import steps
from portal.kernel.operations import Kind, Step, register

each = instances.each
OURS = LABELS | {"take": _("Take the snapshot"), "apply": _("Revert the volumes"), "load": _("Load the memory"),
                 "drop": _("Delete it from the volumes")}

register(Kind(
    # As long as the guest has memory.
    name="instance.snapshot", label=_("Take snapshot of instance"), deadline_s=3600, makes=True, step_labels=OURS,
    steps=(Step("take", each(steps.take), each(steps.drop), limit_s=3000),),
    succeeded=steps.is_taken, failed=steps.not_taken))
register(Kind(
    # What was written since does not come back: who cancelled then would only be left with less.
    name="instance.revert", label=_("Revert instance to snapshot"), deadline_s=3600, stands=("apply", "load"), step_labels=OURS,
    # `reverting.STEPS` says which of these it takes.
    steps=(Step("connect", each(instances.connect)), Step("power_off", each(instances.cut), each(steps.mend_cut)),
           Step("apply", each(steps.apply), limit_s=1800), Step("seed", each(instances.make_seed)),
           Step("define", each(instances.define)), Step("boot", each(instances.boot), each(instances.unboot)),
           Step("load", each(steps.load), each(steps.let_be), limit_s=1800), Step("clock", each(steps.set_clock)),
           Step("link", each(instances.link))),
    succeeded=steps.is_reverted, failed=steps.not_reverted))
register(Kind(
    name="snapshot.delete", label=_("Delete snapshot"), pivot="drop", step_labels=OURS, deadline_s=1800,
    steps=(Step("drop", steps.drop_deleted, limit_s=900),),
    succeeded=steps.is_deleted, failed=steps.cannot_fail))
