"""How the operations on instances are carried out and end: steps in order, and the state that the instance is left in."""
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from compute.hosts import placement
from compute.instances import copy_steps, guests, rebuilding, rescuing, resize_steps, steps
from compute.instances.headroom import Headroom
from compute.instances.models import Instance, InstanceState, InstanceType
from compute.instances.snapshots import steps as snapshots
from compute.instances.volumes import ending
from compute.network import steps as network
from portal.kernel.operations import Kind, Run, Step, register
from portal.kernel.states import database_now
from storage.models import Attachment, Volume


def _has_booted(run: Run) -> dict:
    """Its domain is new, and has the room to grow that it was defined with."""
    return _is_running(run, is_new=True)


def _is_running(run: Run, *, is_new: bool = False) -> dict:
    for instance in steps.instances_of(run):
        grows = Headroom.of(instance).columns if is_new else {}
        instance.move_to(InstanceState.RUNNING, observed_state="running", observed_at=database_now(), fault=None, **grows)
        volume = steps.root_volume(instance)
        if volume is not None and volume.state == Volume.State.CREATING:
            volume.move_to(Volume.State.IN_USE)
        network.settle_floating(instance.pk)
    return {"instances": steps.ids_of(run)}


def _create_failed(run: Run, error: dict) -> None:
    for instance in steps.instances_of(run):
        volume = steps.root_volume(instance)
        if volume is not None:
            Attachment.objects.filter(volume=volume).delete()
            volume.move_to(Volume.State.DELETED, deleted_at=database_now())
        instance.move_to(InstanceState.ERROR, fault=error)


def _start_failed(run: Run, error: dict) -> None:
    steps.target_of(run).move_to(InstanceState.STOPPED, fault=error)


def _is_stopped(run: Run) -> dict:
    instance = steps.target_of(run)
    instance.move_to(InstanceState.STOPPED, observed_state="off", observed_at=database_now())
    return {"instances": [str(instance.pk)]}


def _is_paused(run: Run) -> dict:
    instance = steps.target_of(run)
    instance.move_to(InstanceState.PAUSED, observed_state="paused", observed_at=database_now(), fault=None)
    return {"instances": [str(instance.pk)]}


def _is_suspended(run: Run) -> dict:
    instance = steps.target_of(run)
    instance.move_to(InstanceState.SUSPENDED, observed_state="suspended", observed_at=database_now(), fault=None)
    return {"instances": [str(instance.pk)]}


def _goes_on(run: Run, error: dict) -> None:
    """Of what was not paused or suspended."""
    steps.target_of(run).move_to(InstanceState.RUNNING, fault=error)


def _resume_failed(run: Run, error: dict) -> None:
    steps.target_of(run).move_to(run.arguments["was"], fault=error)


def _is_rescued(run: Run) -> dict:
    instance = steps.target_of(run)
    instance.move_to(InstanceState.RESCUED, observed_state="running", observed_at=database_now(), fault=None)
    return {"instances": [str(instance.pk)]}


def _rescue_failed(run: Run, error: dict) -> None:
    instance = steps.target_of(run)
    instance.move_to(run.arguments["was"], rescue_image=None, fault=error, **_defined_anew(run, instance))


def _defined_anew(run: Run, instance: Instance) -> Mapping[str, Any]:
    """After a power cut that was undone, its domain has the room to grow that it is defined with today."""
    return Headroom.of(instance).columns if instance.generation > run.arguments["generation"] else {}


def _reboot_failed(run: Run, error: dict) -> None:
    """Given up: it is off when its power was, or may have been, cut. What came up after all, the reconciler sees and follows."""
    instance = steps.target_of(run)
    if steps.has_booted(run):
        instance.move_to(InstanceState.RUNNING, fault=error, **Headroom.of(instance).columns)
    else:
        instance.move_to(InstanceState.STOPPED if steps.was_cut(run) else InstanceState.RUNNING, fault=error)


def _unrescue_failed(run: Run, error: dict) -> None:
    """Given up: its next start is from its own disk, and the reconciler removes what rescue has left on the pool. What runs from
    it already, and only was not reached, goes on."""
    instance = steps.target_of(run)
    if steps.has_booted(run):
        instance.move_to(InstanceState.RUNNING, rescue_image=None, fault=error, **Headroom.of(instance).columns)
    elif steps.was_cut(run):
        instance.move_to(InstanceState.STOPPED, rescue_image=None, fault=error)
    else:
        instance.move_to(InstanceState.RESCUED, fault=error)


def _is_rebuilt(run: Run) -> dict:
    Instance.objects.filter(pk=run.operation.target_id).update(next_user_data="")
    return _has_booted(run)


def _rebuild_failed(run: Run, error: dict) -> None:
    """Without its disk it is nothing: it is in error until it is rebuilt."""
    instance = steps.target_of(run)
    is_lost = rebuilding.is_lost(run, instance)
    instance.move_to(InstanceState.ERROR if is_lost else run.arguments["was"], fault=error, next_user_data="",
                     **({"observed_state": "off", "observed_at": database_now()} if is_lost else _defined_anew(run, instance)))


def _is_recycled(run: Run) -> dict:
    instance, now = steps.target_of(run), database_now()
    instance.move_to(InstanceState.RECYCLED, recycled_at=now, observed_state="off", observed_at=now, fault=None)
    return {"instances": [str(instance.pk)]}


def _is_restored(run: Run) -> dict:
    instance = steps.target_of(run)
    instance.move_to(InstanceState.STOPPED, recycled_at=None, observed_state="off", observed_at=database_now(), fault=None)
    return {"instances": [str(instance.pk)]}


def _restore_failed(run: Run, error: dict) -> None:
    """It is in the recycle bin since it came there, and not since this."""
    steps.target_of(run).move_to(InstanceState.RECYCLED, fault=error)


def _is_resized(run: Run) -> dict:
    """From now on it is metered as its new type, and counts for no more than that."""
    instance, to = steps.target_of(run), run.arguments["to"]
    type_, was = InstanceType.objects.get(pk=run.arguments["type"]), run.arguments["was"]
    grows = {} if "grow" in run.operation.plan else Headroom.of(resize_steps.sized(run, instance, "to")).columns
    instance.move_to(was, type=type_, **to, **grows, observed_at=database_now(), fault=None)
    placement.change(instance, instance.host_id, instance.wanted)
    return {"instances": [str(instance.pk)]}


def _resize_failed(run: Run, error: dict) -> None:
    instance = steps.target_of(run)
    grows = {} if "grow" in run.operation.plan else Headroom.of(resize_steps.sized(run, instance, "from")).columns
    instance.move_to(run.arguments["was"], **run.arguments["from"], **grows, fault=error)
    placement.change(instance, instance.host_id, instance.wanted)


def _is_deleted(run: Run) -> dict:
    instance = steps.target_of(run)
    snapshots.forget_all(instance)
    ending.settle(instance)
    instance.move_to(InstanceState.DELETED, deleted_at=database_now())
    return {"instances": [str(instance.pk)]}


def _is_cloned(run: Run) -> dict:
    copy_steps.release_source(run)
    return _has_booted(run)


def _clone_failed(run: Run, error: dict) -> None:
    copy_steps.release_source(run, error)
    _create_failed(run, error)


def _cannot_fail(run: Run, error: dict) -> None:
    """Forward-only kinds never get here: their pivot is their first step."""
    raise RuntimeError(f"{run.operation.kind} has no way back")


LABELS = {"place": _("Find a host"), "connect": _("Set up the network"), "image": _("Bring the image"),
          "volume": _("Make the root volume"), "seed": _("Write the set-up drive"), "define": _("Define"), "boot": _("Boot"),
          "link": _("Wait for the network"), "pause": _("Pause the guest"), "save": _("Save the memory"),
          "wake": _("Let the guest go on"), "clock": _("Set the guest’s clock"), "see_off": _("See that it is off"),
          "rescue_disk": _("Make the rescue disk"), "leave_rescue": _("Return to its own disk"),
          "erase": _("Erase the root volume"), "grow": _("Plug in processors and memory"),
          "shut_down": _("Shut down"), "power_off": _("Cut the power"),
          "copy": _("Copy the root volume"), "fetch": _("Bring the copy to the image store"),
          "seal": _("Check the image"), "keep": _("Keep a copy on the host"),
          "remove": _("Remove from the host"), "remove_seed": _("Remove the set-up drive"),
          "leave_volumes": _("Take its snapshots out of volumes that stay"), "remove_volume": _("Delete the volumes"),
          "disconnect": _("Remove from the network"),
          "give_back": _("Give back capacity")}
each = steps.each

register(Kind(
    name="instance.create", label=_("Create instance"), deadline_s=600, step_labels=LABELS, makes=True,
    steps=(Step("place", steps.place, each(steps.withdraw)), Step("connect", each(steps.connect)),
           Step("image", each(steps.bring_image), limit_s=600),
           Step("volume", each(steps.make_volume), each(steps.unmake_volume)),
           Step("seed", each(steps.make_seed), each(steps.unmake_seed)),
           Step("define", each(steps.define), each(steps.undefine)), Step("boot", each(steps.boot), each(steps.undefine)),
           Step("link", each(steps.link))),
    succeeded=_has_booted, failed=_create_failed))
register(Kind(
    name="instance.start", label=_("Start instance"), deadline_s=300, step_labels=LABELS,
    steps=(Step("connect", each(steps.connect)), Step("seed", each(steps.make_seed)), Step("define", each(steps.define)),
           Step("boot", each(steps.boot), each(steps.power_off)), Step("link", each(steps.link))),
    succeeded=_has_booted, failed=_start_failed))
register(Kind(
    name="instance.stop", label=_("Stop instance"), pivot="shut_down", step_labels=LABELS,
    steps=(Step("shut_down", each(steps.shut_down)), Step("power_off", each(steps.power_off)),
           Step("leave_rescue", each(rescuing.leave))),
    succeeded=_is_stopped, failed=_cannot_fail))
register(Kind(
    name="instance.reboot", label=_("Reboot instance"), pivot="shut_down", gives_up=True, step_labels=LABELS,
    # Cards may have come or gone since the set-up drive was written.
    steps=(Step("shut_down", each(steps.shut_down)), Step("power_off", each(resize_steps.cut)),
           Step("seed", each(steps.make_seed)), Step("define", each(steps.define)), Step("boot", each(steps.boot))),
    succeeded=_has_booted, failed=_reboot_failed))
register(Kind(
    name="instance.pause", label=_("Pause instance"), step_labels=LABELS,
    steps=(Step("pause", each(steps.pause), each(steps.unpause)),),
    succeeded=_is_paused, failed=_goes_on))
register(Kind(
    name="instance.suspend", label=_("Suspend instance"), deadline_s=1800, step_labels=LABELS,
    steps=(Step("save", each(steps.save), each(steps.unpause), limit_s=1200),),
    succeeded=_is_suspended, failed=_goes_on))
register(Kind(
    name="instance.resume", label=_("Resume instance"), deadline_s=1800, step_labels=LABELS,
    steps=(Step("connect", each(steps.connect)), Step("define", each(steps.define)),
           Step("wake", each(steps.wake), each(steps.sleep_again), limit_s=1200),
           Step("clock", each(guests.set_clock)), Step("link", each(steps.link))),
    succeeded=_is_running, failed=_resume_failed))
register(Kind(
    name="instance.rescue", label=_("Rescue instance"), deadline_s=900, step_labels=LABELS,
    steps=(Step("connect", each(steps.connect)), Step("image", each(rescuing.bring_image), limit_s=600),
           Step("rescue_disk", each(rescuing.make_disk), each(rescuing.remove_files)), Step("seed", each(steps.make_seed)),
           Step("shut_down", each(steps.shut_down), each(steps.run_on)),
           Step("power_off", each(steps.cut), each(steps.mend_cut)),
           Step("define", each(steps.define)), Step("boot", each(steps.boot), each(steps.unboot)),
           Step("link", each(steps.link))),
    succeeded=_is_rescued, failed=_rescue_failed))
register(Kind(
    name="instance.unrescue", label=_("Let instance leave rescue"), pivot="shut_down", gives_up=True, step_labels=LABELS,
    steps=(Step("shut_down", each(steps.shut_down)), Step("power_off", each(steps.cut)),
           Step("leave_rescue", each(rescuing.leave)), Step("boot", each(steps.boot)), Step("link", each(steps.link))),
    succeeded=_has_booted, failed=_unrescue_failed))
register(Kind(
    # An erased disk does not come back: who cancelled then would only be left with less.
    name="instance.rebuild", label=_("Rebuild instance"), deadline_s=900, stands=("erase",), step_labels=LABELS,
    steps=(Step("connect", each(steps.connect)), Step("image", each(rebuilding.bring_image), limit_s=600),
           Step("power_off", each(steps.cut), each(rebuilding.mend_cut)), Step("erase", each(rebuilding.erase)),
           Step("volume", each(steps.make_volume)), Step("seed", each(steps.make_seed)), Step("define", each(steps.define)),
           Step("boot", each(steps.boot), each(steps.unboot)), Step("link", each(steps.link))),
    succeeded=_is_rebuilt, failed=_rebuild_failed))
register(Kind(
    # Guests seldom give back what they got.
    name="instance.resize", label=_("Resize instance"), stands=("grow",), step_labels=LABELS,
    # `resizing.STEPS` says which of these it takes.
    steps=(Step("shut_down", each(steps.shut_down), each(resize_steps.run_again)), Step("power_off", each(resize_steps.cut)),
           Step("seed", each(steps.make_seed)), Step("define", each(resize_steps.define), each(resize_steps.define_back)),
           # Guests seldom give memory back: a host that is busy is waited for rather than turned back from.
           Step("grow", each(resize_steps.grow), each(resize_steps.shrink), limit_s=480),
           Step("boot", each(resize_steps.boot), each(steps.power_off))),
    succeeded=_is_resized, failed=_resize_failed))
register(Kind(
    # As long as there is data: the disk may be large, and its host busy.
    name="instance.capture", label=_("Create image of instance"), deadline_s=4 * 3600, step_labels=LABELS, makes=True,
    steps=(Step("copy", each(copy_steps.copy_into_image), each(copy_steps.discard), limit_s=2 * 3600),
           Step("fetch", each(copy_steps.fetch), limit_s=2 * 3600), Step("seal", each(copy_steps.seal), limit_s=1800),
           Step("keep", each(copy_steps.keep_copy), limit_s=600)),
    succeeded=copy_steps.is_captured, failed=copy_steps.not_captured))
register(Kind(
    name="instance.clone", label=_("Clone instance"), deadline_s=3 * 3600, step_labels=LABELS, makes=True,
    steps=(Step("connect", each(steps.connect), each(steps.withdraw)), Step("image", each(copy_steps.bring_parts), limit_s=600),
           Step("copy", each(copy_steps.copy_disk), each(steps.unmake_volume), limit_s=2 * 3600),
           Step("seed", each(steps.make_seed), each(steps.unmake_seed)),
           Step("define", each(steps.define), each(steps.undefine)), Step("boot", each(steps.boot), each(steps.undefine)),
           Step("link", each(steps.link))),
    succeeded=_is_cloned, failed=_clone_failed))
register(Kind(
    name="instance.recycle", label=_("Move instance to the recycle bin"), pivot="power_off", step_labels=LABELS,
    steps=(Step("power_off", each(steps.power_off)), Step("leave_rescue", each(rescuing.leave))),
    succeeded=_is_recycled, failed=_cannot_fail))
register(Kind(
    name="instance.restore", label=_("Restore instance"), step_labels=LABELS,
    steps=(Step("see_off", each(steps.power_off)),),
    succeeded=_is_restored, failed=_restore_failed))
register(Kind(
    name="instance.delete", label=_("Delete instance"), pivot="remove", step_labels=LABELS, deadline_s=1800,
    steps=(Step("remove", each(steps.undefine)), Step("remove_seed", each(steps.unmake_seed)),
           Step("remove_volume", each(ending.remove)), Step("disconnect", each(steps.disconnect)),
           Step("leave_volumes", each(snapshots.leave_volumes), limit_s=900), Step("give_back", each(steps.unplace))),
    succeeded=_is_deleted, failed=_cannot_fail))
