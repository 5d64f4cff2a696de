"""The reconciler: hosts are made to match, level-triggered, every 30 s and on hypervisor events.

Per host it compares what the host says with what we know. It skips held resources, touches nothing that it cannot
prove ours (metadata and a known id), and writes what it finds beside into `Discovered`. It alone writes
`observed_state`. What a guest or a person did to the power is followed, never fought.
"""
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from billing import metering
from compute.hosts.commands import HostCommands, catalogue
from compute.hosts.connections import host_commands, hypervisor
from compute.hosts.drivers.contract import Cause, DomainView, Hypervisor, Power
from compute.hosts.models import Discovered, Host
from compute.instances import following, happenings, lost_files, steps
from compute.instances.design import card_of, design_domain
from compute.instances.freezing import thaw_overdue
from compute.instances.guests import ask_guests
from compute.instances.models import ON_A_HOST, ON_SCREEN, Instance, PowerCause
from compute.instances.models import InstanceState as S
from compute.instances.unused_images import sweep_images
from compute.instances.volumes.late import give_back
from compute.network.models import Port
from portal.kernel import audit, live
from portal.kernel.errors import HostFault, HostUnreachable
from portal.kernel.states import database_now
from storage.connections import volume_pool
from storage.models import GIB, Pool, Volume
from storage.steps import note_facts

log = structlog.get_logger(__name__)
# How long a pass keeps others away when its worker was killed; one that takes longer may meet another, harmlessly.
TURN = timedelta(seconds=30)
# How long what its host has halted stands still at least.
HALTED_FOR = timedelta(minutes=2)
FOLLOWED = {Power.RUNNING: S.RUNNING, Power.PAUSED: S.PAUSED, Power.SUSPENDED: S.SUSPENDED, Power.OFF: S.STOPPED,
            Power.CRASHED: S.STOPPED}


def reconcile_host(host_id: UUID) -> bool:
    """One pass over one host; False when another worker is at it or the host is not ours to manage."""
    now = database_now()
    mine = Host.objects.followed().filter(Q(reconcile_until=None) | Q(reconcile_until__lt=now), pk=host_id)
    if not mine.update(reconcile_until=now + TURN):
        return False
    host = Host.objects.select_related("endpoint", "region").get(pk=host_id)
    try:
        _pass(host, now)
    finally:
        Host.objects.filter(pk=host_id).update(reconcile_until=None)
    return True


def _pass(host: Host, now: datetime) -> None:
    try:
        with hypervisor(host) as driver:
            seen = driver.domains()
            _note_health(host, Host.Health.UP, "", now)
            _compare(host, driver, seen, now)
            _plug_in(host, driver)
            give_back(host, driver, now)
            thaw_overdue(host, driver, now)
            ask_guests(host, driver, now)
        for pool in host.pools.select_related("host__endpoint"):
            _sweep_pool(pool, now)
    except HostUnreachable as error:
        # Nothing is assumed of its instances: they keep their state, and show when they were last seen.
        _note_health(host, Host.Health.UNREACHABLE, str(error.facts.get("reason", "")), now)
    except HostFault as error:
        log.warning("reconcile.fault", host=str(host.pk), error=str(error))


def _note_health(host: Host, health: str, reason: str, now: datetime) -> None:
    fields = {"health": health, "health_reason": reason[:500]}
    if health == Host.Health.UP:
        fields["last_seen_at"] = now
    if host.health != health:
        log.warning("host.health", host=str(host.pk), health=health, reason=reason)
    Host.objects.filter(pk=host.pk).update(**fields)


def _compare(host: Host, driver: Hypervisor, seen: list[DomainView], now: datetime) -> None:
    domains = {view.uuid: view for view in seen}
    for instance in Instance.objects.filter(host=host, hold=None).exclude(state__in=[S.DELETED, S.ERROR]):
        view = domains.get(instance.pk)
        _observe(instance, view, now)
        if view is None:
            _restore(instance, driver, now)
        elif _is_halted(view):
            _let_go_on(instance, driver, now)
    known = dict(Instance.objects.filter(pk__in=domains).values_list("pk", "host_id"))
    strangers = [view for view in seen if not view.is_ours or view.uuid not in known]
    for view in seen:
        if view.is_ours and view.uuid in known and known[view.uuid] != host.pk:
            _remove_leftover(view, driver)
    _discover(host, strangers, now)


def _observe(instance: Instance, view: DomainView | None, now: datetime) -> None:
    """Write what the host says, and follow the power when nothing of ours is going on."""
    power = view.power if view else Power.OFF
    with transaction.atomic():
        fresh = _settled(instance, now)
        if fresh is None:
            return
        Instance.objects.filter(pk=fresh.pk).update(observed_state=power.value if view else "absent", observed_at=now)
        followed = FOLLOWED[power]
        if _is_news(fresh.state, followed):
            before = fresh.state
            cause = happenings.cause_of(fresh, view.cause, now) if view else Cause.HAND
            fresh.move_to(followed, recycled_at=None, power_cause=cause.value)
            said = {"host said": view.power.value if view else "absent"} | ({"why": cause.value} if cause else {})
            audit.record(following.act_for(cause), fresh, actor=None, before={"state": before}, after={"state": followed} | said)
        elif view and _is_halted(view) and fresh.state == S.PAUSED and fresh.power_cause != PowerCause.STORAGE:
            # A resume that failed has forgotten why it stands still.
            Instance.objects.filter(pk=fresh.pk).update(power_cause=PowerCause.STORAGE)
            fresh.power_cause = PowerCause.STORAGE
            metering.settle(fresh, fresh.readings(fresh.state), at=now)
            live.touch(fresh)


def _is_halted(view: DomainView) -> bool:
    """Whether its host has halted it because of its storage."""
    return view.power is Power.PAUSED and view.cause is Cause.STORAGE


def _let_go_on(instance: Instance, driver: Hypervisor, now: datetime) -> None:
    """What was halted for want of room goes on when there is some again; that it runs the next pass sees and follows. Only after
    a while: what halts again at once is not tried all the time."""
    with transaction.atomic():
        fresh = _settled(instance, now)
        due = fresh is not None and fresh.state == S.PAUSED and fresh.state_changed_at < now - HALTED_FOR
        if not due or fresh.power_cause != PowerCause.STORAGE or not _has_room(fresh):
            return
    log.warning("reconcile.goes_on", instance=str(fresh.pk))
    try:
        driver.ensure_resumed(fresh.pk, fresh.generation)
    except HostUnreachable:
        raise
    except HostFault as error:  # it has ended meanwhile, or somebody's operation was first
        log.warning("reconcile.stands_still", instance=str(fresh.pk), error=str(error))


def _has_room(instance: Instance) -> bool:
    """As the pools of its host said in the pass before this."""
    pools = Pool.objects.filter(host=instance.host_id).values_list("capacity", "available")
    return bool(pools) and all(available >= min(GIB, capacity // 20) and available > 0 for capacity, available in pools)


def _is_news(state: str, followed: str) -> bool:
    """What is in the recycle bin is off; only one that somebody starts is not there any more."""
    return followed != state if state in ON_A_HOST else state == S.RECYCLED and followed == S.RUNNING


def _settled(instance: Instance, seen_at: datetime) -> Instance | None:
    """The row, locked, if no operation has it and nothing moved since the host was asked."""
    fresh = Instance.objects.select_for_update(of=("self",), no_key=True).get(pk=instance.pk)
    held = Instance.objects.filter(pk=instance.pk, hold__isnull=False).exists()
    return None if held or fresh.state_changed_at > seen_at else fresh


def _restore(instance: Instance, driver: Hypervisor, now: datetime) -> None:
    """The definition was removed by hand: the host gets it again, powered off (the tenant's next start would too)."""
    fresh = Instance.objects.select_related("host__endpoint", "image", "type").get(pk=instance.pk)
    is_held = Instance.objects.filter(pk=fresh.pk, hold__isnull=False).exists()
    if fresh.state not in (S.STOPPED, S.RECYCLED) or fresh.host is None or is_held:
        return
    with volume_pool(steps.pool_of(fresh)) as pool:
        seed = pool.volume(steps.seed_file(fresh))
    if seed is not None:
        driver.ensure_defined(design_domain(fresh, seed=seed.path, listen=steps.listen_address(fresh)))
        log.warning("reconcile.defined_again", instance=str(fresh.pk))


def _remove_leftover(view: DomainView, driver: Hypervisor) -> None:
    """Ours by metadata and by a known id, but its instance is gone or lives elsewhere: proved, so removed."""
    with transaction.atomic():
        fresh = Instance.objects.select_for_update(of=("self",), no_key=True).filter(pk=view.uuid, hold=None).first()
        gone = fresh is not None and fresh.state in (S.DELETED, S.ERROR) and fresh.host_id is None
    if gone:
        log.warning("reconcile.removed_leftover", instance=str(view.uuid))
        driver.ensure_absent(view.uuid, fresh.generation)


def _plug_in(host: Host, driver: Hypervisor) -> None:
    """Cards that are not on the host's bridge any more, though their instances run, are plugged in again."""
    running = Instance.objects.filter(host=host, hold=None, state__in=ON_SCREEN).values("pk")
    cards = dict(Port.objects.live().filter(domain__in=running).values_list("pk", "domain"))
    if not cards or not host.endpoint.takes_commands:
        return
    try:
        with host_commands(host) as commands:
            plugged = {tap.port for tap in commands.run(catalogue.TAP_PORTS)}
            for port, domain in cards.items():
                if str(port) not in plugged:
                    _plug(port, domain, driver, commands)
    except HostFault as error:  # a switch that does not answer says nothing about the hypervisor, which does
        log.warning("reconcile.switch", host=str(host.pk), error=str(error))


def _plug(port: UUID, domain: UUID, driver: Hypervisor, commands: HostCommands) -> None:
    tap = driver.taps(domain).get(port)
    if tap is None:
        _give_back(port, domain, driver)
        return
    log.warning("reconcile.plugged_in", instance=str(domain), port=str(port), tap=tap)
    commands.run(catalogue.PLUG_PORT, tap=tap, port=port)
    if driver.taps(domain).get(port) != tap:
        # The domain ended meanwhile, and hosts use the names of taps again: by now it may be a stranger's.
        commands.run(catalogue.UNPLUG_PORT, tap=tap)


def _give_back(port: UUID, domain: UUID, driver: Hypervisor) -> None:
    """What runs gets back a card of its own that it has lost: a guest may let go of one long after it was asked to, and nobody
    waits any more. Under the lock that verbs take, since one may be taking it away by now."""
    if not driver.capabilities.hot_plugs:
        return
    with transaction.atomic():
        rows = Instance.objects.select_for_update(of=("self",), no_key=True).select_related("host")
        fresh = rows.filter(pk=domain, hold=None, state__in=ON_SCREEN).first()
        card = Port.objects.live().filter(pk=port, domain=domain).first()
        seen = driver.domain(domain) if fresh and card else None
        if seen is None or seen.power is not Power.RUNNING:
            return
        log.warning("reconcile.gives_card_back", instance=str(domain), port=str(port))
        try:
            driver.ensure_plugged(domain, fresh.generation, card_of(fresh, card))
        except HostUnreachable:
            raise
        except HostFault as error:  # no slot is free until its next start; the others have theirs
            log.warning("reconcile.no_card_back", instance=str(domain), port=str(port), error=str(error))


def _discover(host: Host, strangers: list[DomainView], now: datetime) -> None:
    for view in strangers:
        Discovered.objects.update_or_create(
            host=host, kind="domain", key=str(view.uuid),
            defaults={"name": view.name, "last_seen_at": now, "facts": {"power": view.power.value, "ours": view.is_ours}})
    Discovered.objects.filter(host=host, kind="domain", last_seen_at__lt=now).delete()


def _sweep_pool(pool: Pool, now: datetime) -> None:
    """Files of volumes, set-up drives and images whose rows say deleted, and whose names prove them ours, are removed."""
    with volume_pool(pool) as driver:
        note_facts(pool, driver.facts())
        files = [file.name for file in driver.volumes()]
        for file in files:
            if _is_leftover(file, now):
                log.warning("reconcile.removed_file", pool=str(pool.pk), file=file)
                driver.ensure_volume_absent(file)
        sweep_images(pool, driver, files, now)
        lost_files.look_for(pool, set(files), now)


def _is_leftover(name: str, now: datetime) -> bool:
    kind, _dash, rest = name.partition("-")
    models = {"volume": Volume, "seed": Instance, "rescue": Instance}
    try:
        key = UUID(rest.rsplit(".", 1)[0])
    except ValueError:
        return False
    if kind not in models:
        return False
    grace = now - timedelta(seconds=60)
    saved = Instance.objects.live().filter(pk=key, hold=None, rescue_image=None, state_changed_at__lt=grace)
    if kind == "rescue" and saved.exists():
        return True
    return models[kind].objects.filter(pk=key, hold=None, state="deleted", deleted_at__lt=grace).exists()
