"""REST of instances, instance types and SSH keys. Actions derive from the verb table."""
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import affording, ladder
from billing.prices import Estimate, NoPrice, price_of
from compute.hosts.models import Verdict
from compute.instances import agent_api, cards_api, guarding, keys, operations, rescuing, watchdog_api
from compute.instances.console import api as consoles
from compute.instances.copies_api import CaptureSerializer, CloneSerializer
from compute.instances.errors import InstanceLocked, InstanceProtected, NeedsRestart, NoRoomForCopy, NotOffered, NotSupported
from compute.instances.guards_api import LockSerializer, locked_by
from compute.instances.launch_templates.bodies import FromTemplate
from compute.instances.models import Instance, InstanceType, SshKey, purge_time
from compute.instances.networks import MOST_CARDS, Networks, cards_by_instance
from compute.instances.placed_api import PlacedSerializer
from compute.instances.resizing import Resize
from compute.instances.sizes_api import (
    SIZE,
    ChangeInstanceSerializer,
    ResizeSerializer,
    memory_field,
    require_custom,
    vcpus_field,
)
from compute.instances.snapshots import bodies as snapshots
from compute.instances.snapshots.errors import HasSnapshots
from compute.instances.verbs import ACTIONS, VERBS
from compute.monitoring import api as monitoring
from compute.network.errors import AddressInUse, AlreadyAssociated, NoNetwork, NoPublicNetwork, PoolFull, SubnetFull, TooMany
from compute.network.models import Port, SecurityGroup, Subnet
from portal.kernel.errors import Busy, InvalidInput, NoCapacity, PaymentRequired, StateConflict, Unpaid
from portal.kernel.models import Region, Zone
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.filters import flag
from portal.kernel.rest.serializers import (
    DryRunSerializer,
    NameField,
    OperationSerializer,
    RenameSerializer,
    ResourceSerializer,
    StrictSerializer,
    VisibleField,
)
from portal.kernel.rest.views import Described, Fetched, Listed, RoomViewSet, accepted
from portal.kernel.states import database_now
from storage.models import Image
from tenants.api import VisibleProject
from tenants.errors import ProjectArchived
from tenants.models import Project
from tenants.quotas import REFUSALS, lines

LARGEST_DISK_GIB = 64 * 1024
LONGEST_USER_DATA = 16 * 1024  # cloud-init's own limit on most clouds
MOST_GROUPS, MOST_KEYS = 10, 20
CARDS = "cards by instance"


class SshKeySerializer(ResourceSerializer):
    example = {"name": "laptop", "public_key": "ssh-ed25519 AAAAC3Nz… mei", "fingerprint": "SHA256:7uV0…"}

    class Meta(ResourceSerializer.Meta):
        model = SshKey
        fields = (*ResourceSerializer.Meta.fields, "public_key", "fingerprint")
        read_only_fields = fields


class NewSshKeySerializer(SshKeySerializer):
    """The only answer that carries a generated private key."""

    example = {"private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n…"}
    private_key = serializers.CharField(read_only=True, allow_null=True)

    class Meta(SshKeySerializer.Meta):
        fields = (*SshKeySerializer.Meta.fields, "private_key")
        read_only_fields = fields


class CreateSshKeySerializer(StrictSerializer):
    example = {"name": "laptop", "generate": True}
    project = VisibleProject("sshkey.manage")
    name = NameField()
    public_key = serializers.CharField(max_length=8000, required=False)
    generate = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("public_key")) == bool(attrs.get("generate")):
            raise serializers.ValidationError({"public_key": [_("Give a public key, or generate: true.")]})
        return attrs


class AddressSerializer(serializers.Serializer):
    """One network card."""

    example = {"ip": "10.0.0.5"}
    subnet = serializers.UUIDField()
    ip = serializers.IPAddressField(protocol="ipv4", allow_null=True)
    mac = serializers.CharField()
    floating_ip = serializers.IPAddressField(protocol="ipv4", allow_null=True)


class InstanceSerializer(ResourceSerializer):
    type = serializers.UUIDField(source="type_id", read_only=True)
    image = serializers.UUIDField(source="image_id", read_only=True)
    zone = serializers.UUIDField(source="zone_id", read_only=True, allow_null=True)
    host = serializers.SerializerMethodField()
    addresses = serializers.SerializerMethodField()
    rescue_image = serializers.UUIDField(source="rescue_image_id", read_only=True, allow_null=True,
                                         help_text="What it boots from while it is rescued.")
    fault = serializers.DictField(read_only=True, allow_null=True)
    power_cause = serializers.CharField(read_only=True, help_text=(
        "Why its power changed without being asked by us: guest, hand, crash, storage, watchdog; empty: it did not."))
    purge_at = serializers.SerializerMethodField(help_text="When it is deleted for good; null outside the recycle bin.")
    locked_by = serializers.SerializerMethodField()
    guest = serializers.SerializerMethodField(help_text="What it tells of itself; null when it is off, or was not asked yet.")

    example = {"state": "running", "observed_state": "running", "power_cause": "", "memory_mib": 1024, "host": None,
               "rescue_image": None, "fault": None, "purge_at": None, "locked_at": None, "locked_by": None,
               "lock_reason": "", "is_protected": True, "watchdog": "off", "watchdog_fired_at": None, "rebooted_at": None}
    reads = {"host": ("host_id",), "addresses": ("pk",), "purge_at": ("state", "recycled_at"),
             "locked_by": ("locked_by_id", "is_locked_by_operator"), "guest": agent_api.FIELDS}

    class Meta(ResourceSerializer.Meta):
        model = Instance
        fields = (*ResourceSerializer.Meta.fields, "state", "observed_state", "power_cause", "type", "vcpus", "memory_mib",
                  "image", "zone", "host", "addresses", "rescue_image", "fault", "purge_at", "locked_at", "locked_by",
                  "lock_reason", "is_locked_by_operator", "is_protected", "watchdog", "watchdog_fired_at", "rebooted_at", "guest")
        read_only_fields = fields

    def prepare(self, rows: list[Any]) -> None:
        """The network cards of a whole page at once."""
        self.context[CARDS] = cards_by_instance([row.pk for row in rows])

    def get_host(self, instance: Instance) -> str | None:
        """Which host it runs on; administrators only."""
        user = self.context["request"].user
        return str(instance.host_id) if instance.host_id and user.grants.sees_everything else None

    @extend_schema_field(AddressSerializer(many=True))
    def get_addresses(self, instance: Instance) -> list[dict[str, Any]]:
        return self.context[CARDS].get(instance.pk, [])

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_locked_by(self, instance: Instance) -> Any:
        return locked_by(instance, self.context["request"].user)

    @extend_schema_field(agent_api.GuestSerializer(allow_null=True))
    def get_guest(self, instance: Instance) -> dict[str, Any] | None:
        return agent_api.told(instance)

    def get_purge_at(self, instance: Instance) -> datetime | None:
        return purge_time(instance.state, instance.recycled_at)


class CreateInstanceSerializer(FromTemplate):
    example = {"name": "web-1", **{name: id_of(name) for name in ("project", "region", "type", "image")},
               "ssh_keys": [id_of("ssh_key")], "subnets": [id_of("subnet")]}
    project = VisibleProject("instance.create")
    region = VisibleField(Region)
    zone = VisibleField(Zone, required=False, allow_null=True)
    type = VisibleField(InstanceType)
    vcpus, memory_mib = vcpus_field(), memory_field()
    image = VisibleField(Image)
    root_disk_gib = serializers.IntegerField(min_value=1, max_value=LARGEST_DISK_GIB, required=False, allow_null=True)
    ssh_keys = serializers.ListField(child=VisibleField(SshKey), required=False, max_length=MOST_KEYS)
    public_keys = serializers.ListField(child=serializers.CharField(max_length=8000), required=False, max_length=MOST_KEYS)
    user_data = serializers.CharField(max_length=LONGEST_USER_DATA, required=False, allow_blank=True, trim_whitespace=False)
    password = agent_api.PasswordField(required=False, help_text=(
        "For the image's own user, at the console and for sudo. Only its hash is kept."))
    subnets = serializers.ListField(child=VisibleField(Subnet), required=False, max_length=MOST_CARDS)
    ports = serializers.ListField(child=VisibleField(Port.objects.select_related("subnet")), required=False,
                                  max_length=MOST_CARDS)
    security_groups = serializers.ListField(child=VisibleField(SecurityGroup), required=False, max_length=MOST_GROUPS)
    floating_ip = serializers.BooleanField(required=False)
    count = serializers.IntegerField(min_value=1, max_value=operations.MOST_AT_ONCE, required=False)


def order_of(body: dict[str, Any]) -> operations.Order:
    """What a create body asks for."""
    groups = body.pop("security_groups", None)
    networks = Networks(subnets=tuple(body.pop("subnets", ())), ports=tuple(body.pop("ports", ())),
                        groups=None if groups is None else tuple(groups), has_floating_ip=body.pop("floating_ip", False))
    return operations.Order(**body | {"ssh_keys": tuple(body.get("ssh_keys", ())), "networks": networks,
                                       "public_keys": tuple(body.get("public_keys", ()))})


class ForceSerializer(StrictSerializer):
    force = serializers.BooleanField(required=False, default=False)


class RescueSerializer(ForceSerializer):
    example = {"image": id_of("image"), "force": False}
    image = VisibleField(Image, required=False, help_text="Without one: what operators offer for rescue, else its own.")


class RebuildSerializer(StrictSerializer):
    example = {"image": id_of("image"), "ssh_keys": [id_of("ssh_key")]}
    image = VisibleField(Image, required=False, help_text="Without one: the image that it has, even if that was retired.")
    ssh_keys = serializers.ListField(child=VisibleField(SshKey), required=False, max_length=MOST_KEYS,
                                     help_text="Without it, it keeps its keys.")
    user_data = serializers.CharField(max_length=LONGEST_USER_DATA, required=False, allow_blank=True, trim_whitespace=False,
                                      help_text="Without it, it keeps its user data.")


class SshKeyViewSet(Listed, Fetched, Described, RoomViewSet):
    """Public keys for new instances."""

    queryset = SshKey.objects.all()
    serializer_class = SshKeySerializer
    permissions = {"list": "sshkey.view", "retrieve": "sshkey.view", "create": "sshkey.manage",
                   "partial_update": "sshkey.manage", "destroy": "sshkey.manage"}
    bodies = {"create": CreateSshKeySerializer, "partial_update": RenameSerializer}
    answers = {"create": (201, NewSshKeySerializer), "partial_update": (200, SshKeySerializer), "destroy": (204, None)}
    errors = {"create": (ProjectArchived,)}
    secret_fields = ("private_key",)
    search_fields = ("name", "fingerprint")

    def create(self, request: Request) -> Response:
        """Add a public key, or generate a pair whose private part is shown this once."""
        body = self.read_body()
        project, region = body["project"], Region.objects.order_by("name").first()
        if body.get("generate"):
            key, private = keys.generate_key(project, region, name=body["name"], actor=request.user)
            return self.shown(key, 201, private_key=private)
        key = keys.add_key(project, region, name=body["name"], public_key=body["public_key"], actor=request.user)
        return self.shown(key, 201, private_key=None)

    def destroy(self, request: Request, pk: str) -> Response:
        """Forget the key; instances that have it keep it."""
        keys.delete_key(self.target, actor=request.user)
        return Response(status=204)


REFUSED = {"start": (PaymentRequired, Unpaid, NoPrice, NoCapacity),
           **dict.fromkeys(("pause", "suspend"), (NotSupported, Unpaid, NoPrice)),
           **dict.fromkeys(("reboot", "restore", "unrescue"), (Unpaid,)), "resume": (PaymentRequired, Unpaid, NoPrice),
           "rescue": (PaymentRequired, Unpaid, NoPrice, NoCapacity), "rebuild": (PaymentRequired, Unpaid, NoPrice, HasSnapshots),
           **snapshots.REFUSED,
           "capture": (*REFUSALS, *affording.REFUSALS, NoCapacity),
           "clone": (*REFUSALS, *affording.REFUSALS, NoRoomForCopy, NotOffered, SubnetFull, TooMany),
           "resize": (*REFUSALS, *affording.REFUSALS, NoCapacity, NeedsRestart)}
"""What a verb may be refused with, besides what the table says and a lock."""
GUARDS = ("lock", "unlock", "protect", "unprotect", "watchdog")


class InstanceViewSet(consoles.HasConsole, cards_api.HasCards, watchdog_api.HasWatchdog, snapshots.HasSnapshots,
                      agent_api.HasAgent, Listed, Fetched, Described, RoomViewSet):
    """Instances."""

    queryset = Instance.objects.select_related("hold")
    serializer_class = InstanceSerializer
    permissions = {"list": "instance.view", "retrieve": "instance.view", "create": "instance.create",
                   "partial_update": "instance.update", "destroy": VERBS["delete"].permission,
                   "placement": "instance.view", "metrics": "instance.view", **consoles.PERMISSIONS, **cards_api.PERMISSIONS,
                   **watchdog_api.PERMISSIONS, **agent_api.PERMISSIONS,
                   **dict.fromkeys(("lock", "unlock"), guarding.LOCK),
                   **dict.fromkeys(("protect", "unprotect"), guarding.PROTECT),
                   **{name: verb.permission for name, verb in ACTIONS.items()}}
    bodies = {"create": CreateInstanceSerializer, "partial_update": ChangeInstanceSerializer, **consoles.BODIES,
              **cards_api.BODIES, **watchdog_api.BODIES, **agent_api.BODIES,
              **{name: ForceSerializer for name, verb in ACTIONS.items() if verb.takes_force},
              "lock": LockSerializer, "rescue": RescueSerializer, "rebuild": RebuildSerializer, "resize": ResizeSerializer,
              "capture": CaptureSerializer, "clone": CloneSerializer, **snapshots.BODIES}
    answers = {**dict.fromkeys(("partial_update", *GUARDS), (200, InstanceSerializer)),
               **consoles.ANSWERS, **agent_api.ANSWERS, "placement": (200, PlacedSerializer),
               "metrics": (200, monitoring.MetricsSerializer)}
    errors = {"create": (*REFUSALS, *affording.REFUSALS, NoCapacity, Busy, StateConflict, NoNetwork, NoPublicNetwork,
                         SubnetFull, AddressInUse, PoolFull, AlreadyAssociated, TooMany),
              **{name: (*REFUSED.get(name, ()), InstanceLocked) for name in (*ACTIONS, *GUARDS) if name != "lock"},
              "partial_update": (*REFUSED["resize"], InstanceLocked),
              "destroy": (InstanceLocked, InstanceProtected), **consoles.ERRORS, **cards_api.ERRORS, **agent_api.ERRORS}
    other_answers = {"partial_update": (202, OperationSerializer)}
    query_parameters = {"create": ("dry_run",), "resize": ("dry_run",), "destroy": ("purge", "volumes"),
                        "metrics": monitoring.PARAMETERS}
    secret_fields = (*consoles.SECRETS, *agent_api.SECRETS)
    filters = {"state": "state", "zone": "zone_id", "type": "type_id", "image": "image_id", "is_protected": "is_protected"}
    search_fields = ("name", "description")
    ordering_fields = ("created_at", "name", "state", "vcpus", "memory_mib")

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """What is in the recycle bin is listed where it is asked for."""
        rows = super().filter_queryset(queryset)
        is_asked_for = Instance.State.RECYCLED in self.request.query_params.getlist("state")
        return rows if is_asked_for else rows.exclude(state=Instance.State.RECYCLED)

    def create(self, request: Request) -> Response:
        """New instances, all of them or none; `?dry_run=true` tells price, quota and placement, and creates nothing."""
        order = order_of(self.read_body())
        if order.networks.has_floating_ip:
            self.require("floatingip.manage", order.project)
        if order.public_keys:
            self.require("sshkey.manage", order.project)
        if self.is_dry_run:
            return Response(forecast(order))
        return accepted(operations.create_instance(order, actor=request.user), request)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename, describe, tag; or give what is of a custom type another size, which is answered as `actions/resize` is."""
        size = self.read_body()
        if not set(SIZE) & size.keys():
            return super().partial_update(request, pk)
        self.require(VERBS["resize"].permission, self.target)
        require_custom(self.target.type, size)
        return accepted(operations.act(self.target, "resize", actor=request.user, type=self.target.type, **size), request)

    def destroy(self, request: Request, pk: str) -> Response:
        """Move it to the recycle bin, from which it can be restored until `purge_at`; with `?purge=true`, and where it is in
        error, delete it and its root volume for good; other volumes are detached and stay, or go too with `?volumes=true`."""
        verb = VERBS["purge" if flag(request, "purge") else "delete"].on(self.target)
        wishes = {"volumes": True} if flag(request, "volumes") else {}
        if wishes and verb.name != "purge":
            raise InvalidInput.field("volumes", str(_("Volumes go with what is deleted for good: add purge=true.")))
        if wishes:
            self.require("volume.delete", self.target)
        return accepted(operations.act(self.target, verb.name, actor=request.user, **wishes), request)

    @action(detail=True, methods=["post"], url_path="actions/lock")
    def lock(self, request: Request, pk: str) -> Response:
        """Refuse every verb until it is unlocked. Again is success."""
        return self.shown(guarding.lock(self.target, actor=request.user, **self.read_body()))

    @action(detail=True, methods=["post"], url_path="actions/unlock")
    def unlock(self, request: Request, pk: str) -> Response:
        """Lift the lock; what an operator locked, only operators unlock."""
        self.read_body()
        return self.shown(guarding.unlock(self.target, actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/protect")
    def protect(self, request: Request, pk: str) -> Response:
        """Refuse to delete it, into the recycle bin or for good."""
        self.read_body()
        return self.shown(guarding.protect(self.target, actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/unprotect")
    def unprotect(self, request: Request, pk: str) -> Response:
        """Let it be deleted again."""
        self.read_body()
        return self.shown(guarding.protect(self.target, actor=request.user, is_protected=False))

    @action(detail=True, methods=["post"], url_path="actions/rescue")
    def rescue(self, request: Request, pk: str) -> Response:
        """Boot it from another image, with its own disk as the second one; with `force` its power is cut without asking the
        guest."""
        body = self.read_body()
        image = body.get("image") or rescuing.default_image(request.user, self.target)
        return accepted(operations.act(self.target, "rescue", actor=request.user, image=image, force=body.get("force", False)),
                        request)

    @action(detail=True, methods=["post"], url_path="actions/rebuild")
    def rebuild(self, request: Request, pk: str) -> Response:
        """Write its root volume anew from an image: everything on it is lost. Id, addresses and other volumes stay."""
        wishes = {"image": self.target.image, **self.read_body()}
        return accepted(operations.act(self.target, "rebuild", actor=request.user, **wishes), request)

    @action(detail=True, methods=["post"], url_path="actions/capture")
    def capture(self, request: Request, pk: str) -> Response:
        """Copy the root volume of an instance that is off into a private image of its project, from which instances start. What
        is on the disk is in the image; user data is not. Stop what runs first (`actions/stop`)."""
        return accepted(operations.act(self.target, "capture", actor=request.user, **self.read_body()), request)

    @action(detail=True, methods=["post"], url_path="actions/clone")
    def clone(self, request: Request, pk: str) -> Response:
        """Make and start another instance of the same type, networks, security groups, keys and tags, with addresses of its own
        and a copy of the root volume, on the same host. This one must be off. The new one is in the operation's result."""
        return accepted(operations.act(self.target, "clone", actor=request.user, **self.read_body()), request)

    @action(detail=True, methods=["post"], url_path="actions/resize", url_name="resize")
    def resize(self, request: Request, pk: str) -> Response:
        """Give it another size: at once where what runs can grow so far, else by a restart if that is allowed. `?dry_run=true`
        tells price, quota and room, and changes nothing."""
        body = self.read_body()
        if self.is_dry_run:
            return Response(_forecast_resize(self.target, **body))
        return accepted(operations.act(self.target, "resize", actor=request.user, **body), request)

    @action(detail=True, methods=["get"])
    def placement(self, request: Request, pk: str) -> Response:
        """Why it runs where it runs, or nowhere. Hosts are told to administrators only."""
        rows = list(Verdict.objects.filter(consumer=self.target.pk).select_related("host__provider")
                    .order_by("-is_chosen", F("weight").desc(nulls_last=True), "host"))
        found = any(row.is_chosen for row in rows)
        reasons = [] if found else sorted({row.reason for row in rows if row.reason})
        hosts = rows if request.user.grants.sees_everything else None
        return Response(PlacedSerializer({"feasible": found, "reasons": reasons, "hosts": hosts}).data)

    @action(detail=True, methods=["get"])
    def metrics(self, request: Request, pk: str) -> Response:
        """What it used of processors, memory, disks and network between two times (the last hour), in steps of 15 s to a day.
        At most 1,500 points; short steps are kept for a day or a week, hours for 90 days, days for two years."""
        return Response(monitoring.metrics(self.target.pk, request))


def _verb_action(name: str) -> Any:
    """The route of one verb, derived from the table."""

    def handler(self: InstanceViewSet, request: Request, pk: str) -> Response:
        force = self.read_body().get("force", False)
        return accepted(operations.act(self.target, name, actor=request.user, force=force), request)

    handler.__name__, handler.__doc__ = name, f"{name.capitalize()} the instance."
    return action(detail=True, methods=["post"], url_path=f"actions/{name}", url_name=name)(handler)


for _name in ACTIONS:
    if not hasattr(InstanceViewSet, _name):  # what has wishes has a route of its own there
        setattr(InstanceViewSet, _name, _verb_action(_name))


def forecast(order: operations.Order) -> dict[str, Any]:
    """The dry run's answer: what it would cost, take and where it would fit."""
    order.check()
    now = database_now()
    price = price_of(order.project.organization, order.region, order.readings, now)
    return _told(order.project, order.region, order.wanted, price, order.obstacles,
                 affording.is_affordable(order.project, price, order.tags, now=now))


def _forecast_resize(instance: Instance, *, allow_restart: bool, **size: Any) -> dict[str, Any]:
    VERBS["resize"].require(instance)
    guarding.require(instance, "resize")
    wanted, now = Resize(instance=instance, **size), database_now()
    wanted.check(allow_restart=allow_restart)
    price = wanted.price(now)
    more = {name: max(0, amount) for name, amount in wanted.more.items()}
    return _told(instance.project, instance.region, more, price, wanted.obstacles, wanted.is_affordable(price, now))


def _told(project: Project, region: Region, wanted: dict[str, int], price: Estimate, reasons: list[str],
          is_affordable: bool) -> dict[str, Any]:
    quota = [line for line in lines(project, region, wanted) if line.wanted]
    is_payable = is_affordable and ladder.refusing(project.organization_id) is None
    return DryRunSerializer({
        "allowed": all(line.fits for line in quota) and not reasons and is_payable, "price": price.as_json(),
        "has_credit": is_payable,
        "quota": [{"resource": line.resource, "scope": line.scope, "limit": line.limit, "used": line.used,
                   "wanted": line.wanted} for line in quota],
        "placement": {"feasible": not reasons, "reasons": reasons}}).data
