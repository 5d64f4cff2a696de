"""Verbs of storage. Adding a host is here, since a host comes with its pool, and so is `host.prepare`, which joins both."""
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from billing import metering
from compute.hosts import operations as hosts
from compute.hosts import steps as host_steps
from compute.hosts.commands.contract import absolute_path
from compute.hosts.drivers import ssh
from compute.hosts.models import Endpoint, Host
from portal.kernel import audit, live
from portal.kernel.errors import InvalidInput, StateConflict
from portal.kernel.models import Operation, Zone
from portal.kernel.operations import Kind, Step, register
from portal.kernel.states import database_now
from storage import steps
from storage.models import Image, Pool

POOL_NAME, POOL_PATH = "mains", "/var/lib/mains"


def only_zone() -> Zone | None:
    """The zone where there is no choice."""
    zones = list(Zone.objects.select_related("region")[:2])
    return zones[0] if len(zones) == 1 else None


@transaction.atomic
def add_host(name: str, address: str | Endpoint, *, zone: Zone, actor, pool_path: str = POOL_PATH, host_key: str = "",
             reserved_memory_mib: int = 512, vcpu_ratio: Decimal = Decimal(4)) -> Operation:
    """A host with its endpoint and pool, from no more than its name and SSH address (`root@10.99.7.11`; or an endpoint that
    was set up by hand); it is prepared at once. Raises InvalidInput naming the field."""
    endpoint = address if isinstance(address, Endpoint) else _new_endpoint(name, address, host_key)
    host = Host.objects.create(region=zone.region, zone=zone, name=name, endpoint=endpoint,
                               reserved_memory_mib=reserved_memory_mib, vcpu_ratio=vcpu_ratio)
    Pool.objects.create(region=zone.region, host=host, name=POOL_NAME, path=_checked_path(pool_path))
    audit.record("host.add", host, actor=actor, after={
        "name": name, "address": endpoint.uri, "zone": zone.name, "pool": pool_path})
    return hosts.prepare_host(host, actor=actor)


def _new_endpoint(name: str, address: str, host_key: str) -> Endpoint:
    driver, uri, known_key = _read_address(address, host_key)
    _require_new(name, uri)
    try:
        with transaction.atomic():
            return Endpoint.objects.create(name=name, driver=driver, uri=uri, host_key=known_key)
    except IntegrityError as error:  # somebody was faster
        raise InvalidInput.field("name", str(_("There is a host of this name already."))) from error


def _read_address(address: str, host_key: str) -> tuple[str, str, str]:
    """(driver, its address, the host key or its fingerprint)."""
    if address.startswith("simulated:"):
        return "simulated", address, ""
    try:
        target = ssh.parse_target(address)
    except ValueError as error:
        raise InvalidInput.field("address", str(_("An SSH address such as root@10.99.7.11 or root@rack-1:2222."))) from error
    try:
        return "libvirt", f"qemu+ssh://{target}/system", ssh.parse_host_key(host_key, target) if host_key.strip() else ""
    except ValueError as error:
        raise InvalidInput.field("host_key", str(_("A known_hosts line, a public key or a SHA256 fingerprint."))) from error


def _require_new(name: str, uri: str) -> None:
    if Endpoint.objects.filter(name=name).exists():
        raise InvalidInput.field("name", str(_("There is a host of this name already.")))
    twin = Endpoint.objects.filter(uri=uri).first()
    if twin is not None:
        raise InvalidInput.field("address", str(_("This is the address of the host %(name)s.") % {"name": twin.name}))


def _checked_path(path: str) -> str:
    try:
        return absolute_path(path.rstrip("/"))
    except ValueError as error:
        raise InvalidInput.field("pool_path", str(_("An absolute path such as /var/lib/mains, without spaces."))) from error


@transaction.atomic
def set_image_visibility(image: Image, visibility: str, *, actor) -> None:
    """Who may start from it: everybody, or its project alone. Raises StateConflict when it is retired."""
    fresh = Image.objects.select_for_update(of=("self",), no_key=True).get(pk=image.pk)
    if fresh.state == Image.State.DELETED:
        raise StateConflict(state=fresh.get_state_display())
    before, fresh.visibility = fresh.visibility, visibility
    Image.objects.filter(pk=fresh.pk).update(visibility=visibility)
    if fresh.meters(fresh.state):
        metering.settle(fresh, fresh.readings(fresh.state), at=database_now())
    live.touch(fresh)
    audit.record("image.visibility", fresh, actor=actor, before={"visibility": before}, after={"visibility": visibility})


@transaction.atomic
def set_image_for_rescue(image: Image, is_for_rescue: bool, *, actor) -> None:
    """Whether it is offered first to who rescues an instance. Raises StateConflict when it is retired."""
    fresh = Image.objects.select_for_update(of=("self",), no_key=True).get(pk=image.pk)
    if fresh.state == Image.State.DELETED:
        raise StateConflict(state=fresh.get_state_display())
    Image.objects.filter(pk=fresh.pk).update(is_for_rescue=is_for_rescue)
    live.touch(fresh)
    audit.record("image.rescue", fresh, actor=actor, before={"is_for_rescue": fresh.is_for_rescue},
                 after={"is_for_rescue": is_for_rescue})


@transaction.atomic
def delete_image(image: Image, *, actor) -> None:
    """A project's own: retired as operators do it. Raises StateConflict for one that everybody may start from, that is not there
    yet, or that is gone."""
    fresh = Image.objects.select_for_update(of=("self",), no_key=True).get(pk=image.pk)
    if fresh.is_public:
        raise StateConflict(state=fresh.get_visibility_display())
    retire_image(fresh, actor=actor)


@transaction.atomic
def retire_image(image: Image, *, actor) -> None:
    """Nothing new starts from it; its files stay for the instances that have it (a tenant's own: until none does, see
    `unused_images`). Raises StateConflict when it is retired."""
    fresh = Image.objects.select_for_update(of=("self",), no_key=True).get(pk=image.pk)
    before = fresh.state
    if not fresh.is_retirable:
        raise StateConflict(state=fresh.get_state_display())
    fresh.move_to(Image.State.DELETED, deleted_at=database_now())
    audit.record("image.retire", fresh, actor=actor, before={"state": before}, after={"state": Image.State.DELETED})


register(Kind(
    name=hosts.PREPARE, label=_("Prepare host"), deadline_s=900,
    steps=(Step("reach", host_steps.reach), Step("versions", host_steps.versions), Step("discover", host_steps.discover),
           Step("probe", host_steps.probe), Step("pools", steps.prepare_pools), Step("images", steps.copy_images, limit_s=600),
           Step("network", host_steps.network), Step("capacity", host_steps.capacity)),
    step_labels={"reach": _("Reach by SSH"), "versions": _("Look at versions"), "discover": _("Discover"),
                 "probe": _("Probe acceleration"), "pools": _("Storage pools"), "images": _("Copy images"),
                 "network": _("Network"), "capacity": _("Capacity")},
    succeeded=host_steps.prepared, failed=host_steps.not_prepared,
))
