"""Verbs of storage. Registers `host.prepare`, which joins hosts and pools."""
from django.utils.translation import gettext_lazy as _

from compute.hosts import operations as hosts
from portal.kernel.operations import Done, Kind, Run, Step, Wait, register
from storage import steps
from storage.models import Image, Pool


def _pools(run: Run) -> None:
    for pool in Pool.objects.filter(host_id=run.arguments["host"]).select_related("host__endpoint"):
        steps.ensure_pool(run, pool)
        steps.forget_lost_copies(run, pool)


def _images(run: Run) -> Done | Wait:
    """Copy public images ahead of the first instance, so that it starts at once."""
    for pool in Pool.objects.filter(host_id=run.arguments["host"]).select_related("host__endpoint"):
        for image in Image.objects.live().filter(region=run.operation.region, state=Image.State.ACTIVE,
                                                 visibility=Image.Visibility.PUBLIC):
            outcome = steps.ensure_image(run, image, pool)
            if isinstance(outcome, Wait):
                return outcome
    return Done()


register(Kind(
    name=hosts.PREPARE, label=_("Prepare host"), deadline_s=900,
    steps=(Step("discover", hosts.discover), Step("probe", hosts.probe), Step("pools", _pools),
           Step("images", _images, limit_s=600)),
    step_labels={"discover": _("Discover"), "probe": _("Probe acceleration"), "pools": _("Storage pools"),
                 "images": _("Copy images")},
    succeeded=hosts.prepared, failed=hosts.not_prepared,
))
