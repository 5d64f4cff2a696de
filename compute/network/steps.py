"""Steps on the ports of a domain, for the operations of rooms to the right. They know no instance: `domain` is opaque."""
from uuid import UUID

from compute.network import traffic
from compute.network.apply import apply_vpc, changing
from compute.network.connections import fabric
from compute.network.models import Fabric, FloatingIp, Port
from compute.network.operations.floating import end_floating_ip
from compute.network.operations.vpcs import end_port
from portal.kernel import live
from portal.kernel.operations import Done, Run, Wait

State = FloatingIp.State


def ports_of(domain: UUID):
    """The domain's ports in the order of its cards, with all that a page or a domain needs."""
    rows = Port.objects.live().filter(domain=domain).order_by("position")
    return rows.select_related("subnet__vpc").prefetch_related("floating_ip__allocation")


def vpcs_of(domain: UUID) -> list[UUID]:
    return sorted(set(Port.objects.live().filter(domain=domain).values_list("subnet__vpc", flat=True)))


def connect(run: Run, domain: UUID) -> None:
    """The fabric knows the domain's ports, so that they come up when the domain starts."""
    for vpc_id in vpcs_of(domain):
        apply_vpc(vpc_id, run)


def await_up(run: Run, domain: UUID, *, only: UUID | None = None) -> Done | Wait:
    """The fabric has seen every port of the started domain on a host, or the one that was plugged in."""
    rows = Port.objects.live().filter(domain=domain, **({"pk": only} if only else {}))
    ports = list(rows.values_list("pk", "region_id"))
    if not ports:
        return Done()
    with fabric(Fabric.objects.get(region_id=ports[0][1]), run) as driver:
        up = driver.ports_up([str(pk) for pk, _region in ports])
    if len(up) < len(ports):
        return Wait(0.5)
    with run.guarded():
        for port in rows.exclude(is_up=True):
            Port.objects.filter(pk=port.pk).update(is_up=True)
            live.touch(port)
    return Done()


def disconnect(run: Run, domain: UUID, *, releases_new: bool = False) -> None:
    """The domain has no port any more: its own are removed, others are free again, floating IPs idle.

    `releases_new`: addresses that the same operation took for it go back to the pool.
    """
    vpc_ids = set(run.facts.get("vpcs", ())) | {str(pk) for pk in vpcs_of(domain)}
    run.remember(vpcs=sorted(vpc_ids))  # the rows are gone before the fabric is told: whoever goes on must know which
    with run.guarded():
        changing(*map(UUID, vpc_ids))
        for port in Port.objects.live().filter(domain=domain).order_by("pk"):
            _let_go(port, releases_new)
    for vpc_id in sorted(vpc_ids):
        apply_vpc(UUID(vpc_id), run)


def release(run: Run, port_id: UUID) -> None:
    """The domain has this one port no more; as `disconnect` does it with all."""
    vpc_id = Port.objects.values_list("subnet__vpc", flat=True).get(pk=port_id)
    with run.guarded():
        changing(vpc_id)
        for port in Port.objects.live().filter(pk=port_id).exclude(domain=None):
            _let_go(port, releases_new=False)
    apply_vpc(vpc_id, run)


def count_traffic(port: Port) -> None:
    """What it sends by its floating IP is counted from now on, where it has one."""
    if FloatingIp.objects.filter(port=port).exists():
        traffic.ring_for(port)


def _let_go(port: Port, releases_new: bool) -> None:
    floating = FloatingIp.objects.live().filter(port=port).select_related("pool").first()
    if floating is not None and releases_new and floating.state == State.ALLOCATING:
        end_floating_ip(floating)
    if port.goes_with_instance:
        end_port(port)
        return
    Port.objects.filter(pk=port.pk).update(domain=None, hostname="", is_up=None)
    live.touch(port)


def settle_floating(domain: UUID) -> None:
    """Addresses taken together with the domain are in use (and billed) from now on."""
    for floating in FloatingIp.objects.live().filter(port__domain=domain, state=State.ALLOCATING).select_related("pool", "port"):
        floating.move_to(State.ATTACHED)
        traffic.ring_for(floating.port)
