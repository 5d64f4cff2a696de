"""Steps of the instance operations, for one instance each. Each is "make it so" and safe to repeat; composed in `operations`."""
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from billing import metering
from compute.hosts import placement
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.instances.console import logs
from compute.instances.design import design_domain
from compute.instances.models import Instance, InstanceState
from compute.instances.operations import vnc_password
from compute.instances.seed import build_seed, hostname_of
from compute.network import steps as network
from portal.kernel import crash
from portal.kernel.errors import HostFault, NoCapacity, PortalError
from portal.kernel.operations import Done, Run, Wait, kinds
from portal.kernel.states import database_now
from storage import steps as storage
from storage.connections import volume_pool
from storage.models import Attachment, Pool, Volume

# How long a guest may take to obey the power button before its power is cut; seconds.
SHUTDOWN_LIMIT_S = 30
OBEYS = timedelta(seconds=SHUTDOWN_LIMIT_S)


# How long one turn works through instances before its lease is renewed; seconds.
TURN_S = 5
InstanceStep = Callable[[Run, Instance], Done | Wait | None]


def ids_of(run: Run) -> list[str]:
    """Which instances the operation is about: the ordered ones, else its target."""
    return run.arguments.get("instances") or [str(run.operation.target_id)]


def instances_of(run: Run) -> list[Instance]:
    # Every step asks; what only one needs is not joined (nine tables take 15 ms to plan and read, these three).
    rows = Instance.objects.select_related("host__endpoint").in_bulk(map(UUID, ids_of(run)))
    return [rows[UUID(pk)] for pk in ids_of(run)]


def target_of(run: Run) -> Instance:
    return instances_of(run)[0]


def each(do: InstanceStep) -> Callable[[Run], Done | Wait]:
    """The step for every instance of the operation, in turns of TURN_S; who was done is remembered between turns."""
    def step(run: Run) -> Done | Wait:
        mark = f"done {do.__name__}{' back' if run.operation.undoing else ''}"
        began, done = time.monotonic(), set(run.facts.get(mark, ()))
        soonest: Wait | None = None
        for instance in instances_of(run):
            if str(instance.pk) in done:
                continue
            if time.monotonic() - began > TURN_S:
                return _pause(run, mark, done, Wait(0))
            try:
                outcome = do(run, instance)
            except PortalError:
                _note_down(run, instance)
                raise
            if isinstance(outcome, Wait):
                soonest = outcome if soonest is None or outcome.seconds < soonest.seconds else soonest
            else:
                done.add(str(instance.pk))
        run.facts.pop(mark, None)
        return Done() if soonest is None else _pause(run, mark, done, soonest)

    return step


def _pause(run: Run, mark: str, done: set[str], wait: Wait) -> Wait:
    run.facts[mark] = sorted(done)
    return wait


def was_cut(run: Run) -> bool:
    """Whether this operation has cut the power, or has begun to and does not know."""
    return "cutting" in run.facts or ("power_off", "done") in _said(run)


def is_down(run: Run) -> bool:
    """Whether the power that this operation has cut has not come back since, as far as is known."""
    down = cut = False
    for entry in _said(run):
        match entry:
            case ("power_off", "done"):
                down = cut = True
            case ("boot", "undone"):
                down = cut
            case ("boot", "done") | ("power_off" | "shut_down", "undone"):
                down = False
    return down


def has_booted(run: Run) -> bool:
    """Whether this operation saw it run in the end."""
    return ("boot", "done") in _said(run)


def _said(run: Run) -> list[tuple[str, str]]:
    return [(entry["step"], entry["outcome"]) for entry in run.operation.history]


def _note_down(run: Run, instance: Instance) -> None:
    """What does not come up again after we have cut its power is down by our fault: it costs nothing until it is settled."""
    if is_down(run):
        with run.guarded():
            metering.settle(instance, (), at=database_now())


def pool_of(instance: Instance) -> Pool:
    pool = Pool.objects.filter(host=instance.host).first()
    if pool is None:
        raise HostFault("the host has no pool")
    pool.host = instance.host
    return pool


def root_volume(instance: Instance) -> Volume | None:
    row = Attachment.objects.filter(domain=instance.pk, is_boot=True).select_related("volume").first()
    return row.volume if row else None


def seed_file(instance: Instance) -> str:
    return f"seed-{instance.pk}.iso"


def rescue_disk(instance: Instance) -> str:
    """Its name says whose it is, and it is nobody's volume: it has no price, and goes when rescue ends."""
    return f"rescue-{instance.pk}.qcow2"


def rescue_seed(instance: Instance) -> str:
    return f"rescue-{instance.pk}.iso"


def seed_in_use(instance: Instance) -> str:
    return rescue_seed(instance) if instance.rescue_image_id else seed_file(instance)


def guest_id(instance: Instance) -> str:
    """What cloud-init knows the guest by: under another one it sets it up anew."""
    if instance.rescue_image_id:
        return f"{instance.pk}-rescue"
    return f"{instance.pk}-{instance.rebuilt_by.hex[:8]}" if instance.rebuilt_by else str(instance.pk)


# -- create --

def place(run: Run) -> None:
    """Hosts with room are claimed for all of the order or for none, with the verdict on every host."""
    refused: NoCapacity | None = None
    with run.guarded():
        instances = instances_of(run)
        if len(instances) > 1:
            placement.lock(instances[0].region_id)
        try:
            for instance in instances:
                volume = root_volume(instance)
                host = placement.claim(instance, region=instance.region, zone=instance.zone, wanted=instance.wanted,
                                       needs_network=bool(network.vpcs_of(instance.pk)), traits=instance.type.traits,
                                       disk_gib=volume.size_gib if volume else 0)
                Instance.objects.filter(pk=instance.pk).update(host=host, zone=host.zone_id)
        except NoCapacity as error:  # the verdicts are kept: they explain the failure
            refused = error
            for instance in instances:
                placement.release(instance)
                Instance.objects.filter(pk=instance.pk).update(host=None)
    if refused:
        raise refused


def unplace(run: Run, instance: Instance) -> None:
    with run.guarded():
        placement.release(instance)
        Instance.objects.filter(pk=instance.pk).update(host=None)


def connect(run: Run, instance: Instance) -> None:
    network.connect(run, instance.pk)


def withdraw(run: Run, instance: Instance) -> None:
    """Of a create that failed: its ports are gone, addresses that it took and what it claimed of a host go back.

    Undo of the very first step, since the rows are older than it: also who found no host or was cancelled keeps nothing.
    """
    unplace(run, instance)
    network.disconnect(run, instance.pk, releases_new=True)


def disconnect(run: Run, instance: Instance) -> None:
    network.disconnect(run, instance.pk)


def link(run: Run, instance: Instance) -> Done | Wait:
    """Its ports were seen by the fabric: from now on it can be reached."""
    return network.await_up(run, instance.pk)


def bring_image(run: Run, instance: Instance) -> Done | Wait:
    return storage.ensure_image(run, instance.image, pool_of(instance))


def make_volume(run: Run, instance: Instance) -> None:
    storage.ensure_clone(run, root_volume(instance), pool_of(instance))


def unmake_volume(run: Run, instance: Instance) -> None:
    """Also after a kill between the pool's creation and our note of it: the file's name is the volume's id."""
    volume = root_volume(instance)
    if volume is not None and instance.host is not None:
        storage.remove_volume(run, volume, pool_of(instance))


def make_seed(run: Run, instance: Instance) -> None:
    # A rescue system is reached with the same keys; user data is for the guest's own.
    content = build_seed(instance_id=guest_id(instance), hostname=hostname_of(instance.name, f"i-{instance.pk.hex[:8]}"),
                         public_keys=instance.public_keys, user_data="" if instance.rescue_image_id else instance.user_data,
                         macs=[port.mac for port in network.ports_of(instance.pk)],
                         password_hash=instance.password_hash)
    crash.point("before write seed")
    # Holds user data: in memory alone, so a worker that is killed leaves it nowhere.
    with os.fdopen(os.memfd_create("seed"), "wb") as file, volume_pool(pool_of(instance), run) as pool:
        file.write(content)
        file.flush()
        pool.ensure_uploaded(seed_in_use(instance), f"/proc/self/fd/{file.fileno()}", format="raw")
    crash.point("after write seed")


def unmake_seed(run: Run, instance: Instance) -> None:
    """That of rescue too, with its disk."""
    if instance.host is not None:
        with volume_pool(pool_of(instance), run) as pool:
            for name in (rescue_disk(instance), rescue_seed(instance)) if instance.rescue_image_id else ():
                pool.ensure_volume_absent(name)
            pool.ensure_volume_absent(seed_file(instance))


def define(run: Run, instance: Instance) -> None:
    """The host knows the domain, at the generation that this operation raised."""
    with volume_pool(pool_of(instance), run) as pool:
        seed = pool.volume(seed_in_use(instance))
        rescue = pool.volume(rescue_disk(instance)) if instance.rescue_image_id else None
    if seed is None:
        raise HostFault("the NoCloud drive is missing", transient=True)
    if instance.rescue_image_id and rescue is None:
        raise HostFault("the rescue disk is missing")
    with hypervisor(instance.host, run) as driver:
        driver.ensure_defined(design_domain(instance, seed=seed.path, listen=listen_address(instance),
                                            rescue=rescue.path if rescue else ""))


def listen_address(instance: Instance) -> str:
    """Consoles listen on the address by which the portal reaches the host, never on a tenant's network."""
    return urlsplit(instance.host.endpoint.uri).hostname or "127.0.0.1"


def undefine(run: Run, instance: Instance) -> None:
    if instance.host is not None:
        with hypervisor(instance.host, run) as driver:
            driver.ensure_absent(instance.pk, instance.generation)
        logs.remove_log(instance, run)


def boot(run: Run, instance: Instance) -> Done | Wait:
    """Started, and proved running by what the host says."""
    with hypervisor(instance.host, run) as driver:
        driver.ensure_started(instance.pk, instance.generation)
        seen = driver.domain(instance.pk)
    return Done() if seen is not None and seen.power is Power.RUNNING else Wait(1)


def shut_down(run: Run, instance: Instance) -> Done | Wait:
    """The guest is asked (ACPI), again every few seconds, for at most SHUTDOWN_LIMIT_S; `power_off` follows."""
    if run.arguments.get("force"):
        return Done()
    now = database_now()
    if "asked_at" not in run.facts:
        run.remember(asked_at=now.isoformat())
    waited = (now - datetime.fromisoformat(run.facts["asked_at"])).total_seconds()
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
        if seen is None or seen.power is not Power.RUNNING or waited > SHUTDOWN_LIMIT_S:
            return Done()
        driver.request_shutdown(instance.pk, run.arguments["generation"])
    return Wait(1, progress=min(45, round(45 * waited / SHUTDOWN_LIMIT_S)))


def may_obey(run: Run, instance: Instance) -> bool:
    """Whether a guest that was asked to shut down still runs, and may yet do so."""
    if "asked_at" not in run.facts or database_now() - datetime.fromisoformat(run.facts["asked_at"]) > OBEYS:
        return False
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
    return seen is not None and seen.power is Power.RUNNING


def power_off(run: Run, instance: Instance) -> None:
    """The power of the generation that was meant is cut; off already is success."""
    with hypervisor(instance.host, run) as driver:
        if kinds[run.operation.kind].gives_up and "cutting" not in run.facts:
            # Who is let go has to know whether it may be off: not of a host that does not answer before it is told to.
            driver.domain(instance.pk)
            run.remember(cutting=True)
        driver.ensure_stopped(instance.pk, run.arguments["generation"])


# -- out of a power cut: what boots anew from something else --

def cut(run: Run, instance: Instance) -> None:
    """The power is cut, and a new generation begins, with a new password of the screen: until here nothing has changed."""
    power_off(run, instance)
    with run.guarded():
        Instance.objects.filter(pk=instance.pk).update(
            generation=run.arguments["generation"] + 1, vnc_password=vnc_password())


def mend_cut(run: Run, instance: Instance) -> Done | Wait:
    """Undo of `cut`: defined with its own disk, and running if it ran."""
    run.facts.pop("asked_at", None)  # whoever was asked is off since
    instance.rescue_image = None  # the row is settled by the end of the operation
    define(run, instance)
    return boot(run, instance) if run.arguments["was"] == InstanceState.RUNNING else Done()


def run_on(run: Run, instance: Instance) -> Done | Wait:
    """Undo of a `shut_down` before a cut: a guest that was asked may still obey, and would be off in the end."""
    return Wait(1) if may_obey(run, instance) else mend_cut(run, instance)


def unboot(run: Run, instance: Instance) -> None:
    """Undo of a boot that followed a cut."""
    with hypervisor(instance.host, run) as driver:
        driver.ensure_stopped(instance.pk, instance.generation)


# -- pause and suspend --

def pause(run: Run, instance: Instance) -> None:
    with hypervisor(instance.host, run) as driver:
        driver.ensure_paused(instance.pk, run.arguments["generation"])


def save(run: Run, instance: Instance) -> Done | Wait:
    """Its memory is on the host's disk and its power is cut; as long as that takes."""
    with hypervisor(instance.host, run) as driver:
        return Done() if driver.ensure_suspended(instance.pk, run.arguments["generation"]) else Wait(1)


def unpause(run: Run, instance: Instance) -> Done | Wait:
    """What stands still or is saved goes on; what has ended meanwhile is left so."""
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
        if seen is None or seen.power not in (Power.PAUSED, Power.SUSPENDED):
            return Done()
        return Done() if driver.ensure_resumed(instance.pk, run.arguments["generation"]) else Wait(1)


def wake(run: Run, instance: Instance) -> Done | Wait:
    with hypervisor(instance.host, run) as driver:
        return Done() if driver.ensure_resumed(instance.pk, run.arguments["generation"]) else Wait(1)


def sleep_again(run: Run, instance: Instance) -> Done | Wait:
    """As it was before a resume that failed later; what has ended meanwhile is left so."""
    generation = run.arguments["generation"]
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
        if seen is None or seen.power not in (Power.RUNNING, Power.PAUSED):
            return Done()
        if run.arguments["was"] == "paused":
            driver.ensure_paused(instance.pk, generation)
            return Done()
        return Done() if driver.ensure_suspended(instance.pk, generation) else Wait(1)
