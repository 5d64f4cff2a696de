"""How the operations on volumes are carried out and end: steps in order, and the state that the volume is left in."""
from typing import Any

from django.utils.translation import gettext_lazy as _

from compute.instances.snapshots import steps as snapshots
from compute.instances.volumes import steps
from portal.kernel.operations import Kind, Run, Step, register
from portal.kernel.states import database_now
from storage.models import Attachment, Volume

S = Volume.State


def _is_made(run: Run) -> dict[str, Any]:
    steps.volume_of(run).move_to(S.IN_USE if "instance" in run.arguments else S.AVAILABLE)
    return steps.settled(run)


def _not_made(run: Run, error: dict[str, Any]) -> None:
    volume = steps.volume_of(run)
    if steps.is_kept(run):
        volume.move_to(S.IN_USE)
        return
    Attachment.objects.filter(volume=volume).delete()
    volume.move_to(S.DELETED, deleted_at=database_now())


def _is_attached(run: Run) -> dict[str, Any]:
    steps.volume_of(run).move_to(S.IN_USE)
    return steps.settled(run)


def _not_attached(run: Run, error: dict[str, Any]) -> None:
    volume = steps.volume_of(run)
    if not steps.is_kept(run):
        Attachment.objects.filter(volume=volume).delete()
    volume.move_to(S.IN_USE if steps.is_kept(run) else S.AVAILABLE)


def _is_detached(run: Run) -> dict[str, Any]:
    steps.volume_of(run).move_to(S.AVAILABLE)
    return steps.settled(run)


def _not_detached(run: Run, error: dict[str, Any]) -> None:
    steps.volume_of(run).move_to(S.IN_USE)


def _has_grown(run: Run) -> dict[str, Any]:
    """From now on it is metered by its new size."""
    steps.volume_of(run).move_to(run.arguments["was"], size_gib=run.arguments["to"])
    return steps.settled(run)


def _not_grown(run: Run, error: dict[str, Any]) -> None:
    size = run.arguments["to" if run.facts.get("has_grown") else "from"]
    steps.volume_of(run).move_to(run.arguments["was"], size_gib=size)


def _is_deleted(run: Run) -> dict[str, Any]:
    volume = steps.volume_of(run)
    volume.move_to(S.DELETED, deleted_at=database_now())
    snapshots.forget_volume(volume)
    return steps.settled(run)


def _cannot_fail(run: Run, error: dict[str, Any]) -> None:
    """Its only step is its pivot."""
    raise RuntimeError(f"{run.operation.kind} has no way back")


LABELS = {"make": _("Make the volume"), "define": _("Define"), "plug": _("Plug the volume in"),
          "unplug": _("Wait for the guest to let go"), "grow": _("Grow the volume"), "remove": _("Delete the volume")}

# `verbs` says which of these steps an operation takes.
register(Kind(
    # What the guest has is not taken from it because somebody changed their mind: it may be in use already.
    name="volume.create", label=_("Create volume"), makes=True, stands=("plug",), step_labels=LABELS,
    steps=(Step("make", steps.make, steps.unmake), Step("define", steps.define, steps.undefine),
           Step("plug", steps.plug, steps.take_back)),
    succeeded=_is_made, failed=_not_made))
register(Kind(
    name="volume.attach", label=_("Attach volume"), stands=("plug",), step_labels=LABELS,
    steps=(Step("define", steps.define, steps.undefine), Step("plug", steps.plug, steps.take_back)),
    succeeded=_is_attached, failed=_not_attached))
register(Kind(
    name="volume.detach", label=_("Detach volume"), step_labels=LABELS,
    steps=(Step("unplug", steps.unplug, steps.plug), Step("define", steps.define_without, steps.define)),
    succeeded=_is_detached, failed=_not_detached))
register(Kind(
    name="volume.grow", label=_("Grow volume"), stands=("grow",), step_labels=LABELS,
    steps=(Step("grow", steps.grow, steps.look_back),), succeeded=_has_grown, failed=_not_grown))
register(Kind(
    name="volume.delete", label=_("Delete volume"), pivot="remove", step_labels=LABELS,
    steps=(Step("remove", steps.remove),), succeeded=_is_deleted, failed=_cannot_fail))
