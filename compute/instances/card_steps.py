"""How network cards come and go: steps of `instance.attach_port` and `instance.detach_port`.

The row of the card is there from the request on, or until the guest has let go of it; a failure leaves rows, fabric and host as
they were. A guest that does not let go of a card keeps it; the one thing that nobody can take from it is what a failed attach has
plugged in already: that stays in it until its next start, without a network.
"""
from datetime import datetime
from uuid import UUID

import structlog
from django.utils.translation import gettext_lazy as _

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Hypervisor, Power
from compute.instances import cards, steps
from compute.instances.design import card_of
from compute.instances.errors import GuestKeepsCard
from compute.instances.models import Instance
from compute.network import steps as network
from compute.network.models import Port
from portal.kernel import live
from portal.kernel.operations import Done, Kind, Run, Step, Wait, register
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
# How long a guest may take to let go of a card; seconds. One that does at all needs a few.
PATIENCE_S = 60
ON = (Power.RUNNING, Power.PAUSED)


def _port(run: Run) -> Port:
    return Port.objects.select_related("subnet").get(pk=UUID(run.arguments["port"]))


def _is_on(driver: Hypervisor, instance: Instance) -> bool:
    """One that has ended meanwhile finds its cards at its next start."""
    seen = driver.domain(instance.pk)
    return seen is not None and seen.power in ON


def connect(run: Run) -> None:
    """The fabric knows the card with its security groups, name and address, before anything is sent by it."""
    network.connect(run, run.operation.target_id)


def withdraw(run: Run) -> None:
    """Undo of all: the instance has no such card, in rows, fabric and definition."""
    network.release(run, UUID(run.arguments["port"]))
    if "define" in run.operation.plan:
        steps.define(run, steps.target_of(run))


def plug(run: Run) -> None:
    instance, port = steps.target_of(run), _port(run)
    with hypervisor(instance.host, run) as driver:
        if _is_on(driver, instance):
            driver.ensure_plugged(instance.pk, run.arguments["generation"], card_of(instance, port))


def pull(run: Run) -> Done | Wait:
    """Undo of `plug`."""
    if _is_out(run):
        return Done()
    if _waited(run, "pulled_at") < PATIENCE_S:
        return Wait(1)
    log.warning("cards.dead_card", instance=str(run.operation.target_id), port=run.arguments["port"])
    return Done()


def unplug(run: Run) -> Done | Wait:
    """The guest is asked, again every second, for at most PATIENCE_S."""
    if _is_out(run):
        return Done()
    waited = _waited(run, "asked_at")
    if waited > PATIENCE_S:
        raise GuestKeepsCard(name=steps.target_of(run).name, ip=_port(run).ip, seconds=PATIENCE_S)
    return Wait(1, progress=round(30 * waited / PATIENCE_S))


def _is_out(run: Run) -> bool:
    instance = steps.target_of(run)
    with hypervisor(instance.host, run) as driver:
        return driver.ensure_unplugged(instance.pk, run.arguments["generation"], card_of(instance, _port(run)))


def _waited(run: Run, fact: str) -> float:
    """Seconds since the guest was first asked."""
    now = database_now()
    if fact not in run.facts:
        run.remember(**{fact: now.isoformat()})
    return (now - datetime.fromisoformat(run.facts[fact])).total_seconds()


def release(run: Run) -> None:
    """The guest has let go: the card's row goes, or is free again, and the fabric forgets who had it."""
    network.release(run, UUID(run.arguments["port"]))


def define(run: Run) -> None:
    """From its next start on it has the cards that its rows say."""
    steps.define(run, steps.target_of(run))


def link(run: Run) -> Done | Wait:
    """The fabric has seen the card on its host: it passes traffic."""
    instance = steps.target_of(run)
    with hypervisor(instance.host, run) as driver:
        if not _is_on(driver, instance):
            return Done()
    return network.await_up(run, instance.pk, only=UUID(run.arguments["port"]))


def _attached(run: Run) -> dict:
    port = _port(run)
    network.count_traffic(port)
    live.touch(steps.target_of(run))
    return {"instances": steps.ids_of(run), "port": str(port.pk)}


def _detached(run: Run) -> dict:
    live.touch(steps.target_of(run))
    return {"instances": steps.ids_of(run), "port": run.arguments["port"]}


def _stays_as_it_was(run: Run, error: dict) -> None:
    live.touch(steps.target_of(run))


LABELS = {"connect": _("Set up the network"), "plug": _("Plug the card in"), "define": _("Define"),
          "link": _("Wait for the network"), "unplug": _("Wait for the guest to let go of the card"),
          "release": _("Remove from the network")}
register(Kind(
    name=cards.ATTACH, label=_("Add network card"), deadline_s=300, step_labels=LABELS,
    steps=(Step("connect", connect, withdraw), Step("plug", plug, pull), Step("define", define), Step("link", link, limit_s=60)),
    succeeded=_attached, failed=_stays_as_it_was))
register(Kind(
    name=cards.DETACH, label=_("Remove network card"), deadline_s=300, pivot="release", step_labels=LABELS,
    steps=(Step("unplug", unplug, plug), Step("release", release), Step("define", define)),
    succeeded=_detached, failed=_stays_as_it_was))
