"""Floating IPs: allocate and release are rows; associate and disassociate are operations, since traffic moves with them."""
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import affording
from billing.prices import price_of
from compute.network import traffic
from compute.network.addressing import allocate, give_back, open_pool
from compute.network.apply import apply_vpc, changing
from compute.network.errors import AlreadyAssociated, NoPublicNetwork
from compute.network.models import AddressPool, FloatingIp, Port
from compute.network.operations.vpcs import refuse_held
from portal.kernel import audit, live
from portal.kernel.errors import InvalidInput, StateConflict
from portal.kernel.guards import require_changeable
from portal.kernel.models import Operation, Region
from portal.kernel.operations import Kind, Run, Step, register, submit
from portal.kernel.states import database_now
from tenants.models import Project
from tenants.quotas import reserve

State = FloatingIp.State


def add_floating_ip(project: Project, region: Region, *, name: str = "", pool: AddressPool | None = None,
                    description: str = "", tags: dict[str, str] | None = None, port: Port | None = None) -> FloatingIp:
    """The row with its address, not yet metered. The caller has reserved the quota. Raises NoPublicNetwork or PoolFull."""
    pool = pool or open_pool(region)
    if pool is None:
        raise NoPublicNetwork(region=region.name)
    if pool.region_id != region.pk:
        raise InvalidInput.field("pool", str(_("This public network is in another region.")))
    if not pool.is_open:
        raise InvalidInput.field("pool", str(_("This public network gives out no addresses.")))
    floating = FloatingIp.objects.create(project=project, region=region, name=name or "-", description=description,
                                         tags=tags or {}, pool=pool, port=port)
    # Raises NoPrice: nothing starts that nobody could bill.
    price_of(project.organization, region, floating.readings(State.IDLE), database_now())
    address = allocate(pool, floating).address
    if not name:
        FloatingIp.objects.filter(pk=floating.pk).update(name=address)
        floating.name = address
    return floating


@transaction.atomic
def allocate_floating_ip(project: Project, region: Region, *, actor, name: str = "", pool: AddressPool | None = None,
                         description: str = "", tags: dict[str, str] | None = None) -> FloatingIp:
    """A public address of the project's own, billed as idle until it is associated."""
    reserve(project, region, {"floating_ips": 1})
    floating = add_floating_ip(project, region, name=name, pool=pool, description=description, tags=tags)
    now = database_now()
    price = price_of(project.organization, region, floating.readings(State.IDLE), now)
    affording.require(project, price, floating.tags, now=now, actor=actor)
    floating.move_to(State.IDLE)
    audit.record("floating_ip.allocate", floating, actor=actor, after={"address": floating.allocation.address})
    return floating


@transaction.atomic
def release(floating: FloatingIp, *, actor) -> None:
    """The address goes back to the pool. Raises StateConflict while it is associated."""
    fresh = _locked(floating)
    refuse_held(fresh.pk)
    if fresh.state != State.IDLE:
        raise StateConflict(state=fresh.get_state_display(), legal=State.IDLE)
    before = fresh.address
    end_floating_ip(fresh)
    audit.record("floating_ip.release", fresh, actor=actor, before={"address": before})


def end_floating_ip(floating: FloatingIp) -> None:
    floating.move_to(State.RELEASED, port=None, deleted_at=database_now())
    give_back(floating)


@transaction.atomic
def associate(floating: FloatingIp, port: Port, *, actor) -> Operation:
    """Begin to translate the address to the port, running or not. Raises StateConflict, Busy, Locked or
    AlreadyAssociated."""
    if (port.project_id, port.region_id) != (floating.project_id, floating.region_id):
        raise InvalidInput.field("port", str(_("This port belongs to another project or region.")))
    if port.subnet.vpc.pool_id != floating.pool_id:
        raise InvalidInput.field("port", str(_("The port's VPC does not go out by this address's public network.")))
    require_changeable(port.domain, actor=actor)
    changing(port.subnet.vpc_id)
    fresh = _locked(floating)
    if fresh.state != State.IDLE:
        raise StateConflict(state=fresh.get_state_display(), legal=State.IDLE)
    if not Port.objects.live().filter(pk=port.pk).exists():
        raise StateConflict(state="deleted")
    other = FloatingIp.objects.filter(port=port).select_related("allocation").first()
    if other is not None:
        raise AlreadyAssociated(address=other.address)
    operation = submit("floating_ip.associate", region=fresh.region, project=fresh.project, target=fresh, actor=actor,
                       holds=[port.pk], arguments={"port": str(port.pk), "vpc": str(port.subnet.vpc_id)})
    fresh.move_to(State.ASSOCIATING, port=port)
    audit.record("floating_ip.associate", fresh, actor=actor, operation=operation,
                 after={"address": fresh.address, "port": port.name, "ip": port.ip})
    return operation


@transaction.atomic
def disassociate(floating: FloatingIp, *, actor) -> Operation:
    """Begin to take the address off its port; connections through it end. Raises StateConflict, Busy or Locked."""
    port = Port.objects.select_related("subnet").filter(floating_ip=floating.pk).first()
    if port is not None:
        require_changeable(port.domain, actor=actor)
        changing(port.subnet.vpc_id)
    fresh = _locked(floating)
    if fresh.state != State.ATTACHED or port is None or fresh.port_id != port.pk:
        raise StateConflict(state=fresh.get_state_display(), legal=State.ATTACHED)
    operation = submit("floating_ip.disassociate", region=fresh.region, project=fresh.project, target=fresh, actor=actor,
                       holds=[port.pk], arguments={"vpc": str(port.subnet.vpc_id)})
    fresh.move_to(State.DISASSOCIATING, port=None)
    audit.record("floating_ip.disassociate", fresh, actor=actor, operation=operation,
                 before={"address": fresh.address, "port": port.name, "ip": port.ip})
    return operation


def _locked(floating: FloatingIp) -> FloatingIp:
    rows = FloatingIp.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("region", "project", "pool", "allocation").get(pk=floating.pk)


def _floating_of(run: Run) -> FloatingIp:
    return FloatingIp.objects.select_related("pool").get(pk=run.operation.target_id)


def _translate(run: Run) -> None:
    """Step: the fabric translates as the rows say."""
    apply_vpc(run.arguments["vpc"], run)


def _untranslate(run: Run) -> None:
    """Undo of associate: the row lets go first, then the fabric does."""
    with run.guarded():
        changing(run.arguments["vpc"])
        FloatingIp.objects.filter(pk=run.operation.target_id).update(port=None)
    apply_vpc(run.arguments["vpc"], run)


def _associated(run: Run) -> dict:
    floating = _floating_of(run)
    floating.move_to(State.ATTACHED)
    traffic.ring_for(Port.objects.get(pk=run.arguments["port"]))
    return {"floating_ip": str(floating.pk), "port": run.arguments["port"]}


def _not_associated(run: Run, error: dict) -> None:
    _floating_of(run).move_to(State.IDLE, port=None)


def _disassociated(run: Run) -> dict:
    floating = _floating_of(run)
    floating.move_to(State.IDLE)
    live.touch(floating)
    return {"floating_ip": str(floating.pk)}


def _cannot_fail(run: Run, error: dict) -> None:
    """Its only step is its pivot."""
    raise RuntimeError(f"{run.operation.kind} has no way back")


LABELS = {"translate": _("Change the address translation")}
register(Kind(name="floating_ip.associate", label=_("Associate floating IP"), deadline_s=120, step_labels=LABELS,
              steps=(Step("translate", _translate, _untranslate, limit_s=60),),
              succeeded=_associated, failed=_not_associated))
register(Kind(name="floating_ip.disassociate", label=_("Disassociate floating IP"), pivot="translate", step_labels=LABELS,
              steps=(Step("translate", _translate),), succeeded=_disassociated, failed=_cannot_fail))
