"""Where instances can run: endpoints, hosts, capacity and its claims, and what was found that is not ours."""
import uuid
from typing import Self

from django.db import models
from django.db.models import OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from compute.hosts import obstacles
from compute.hosts.commands.registry import are_answered
from compute.hosts.drivers.registry import DRIVERS
from compute.hosts.drivers.ssh import Target, fingerprint, target_of
from portal.kernel.models import Region, Resource, Zone
from portal.kernel.secrets import EncryptedTextField


class SshIdentity(models.Model):
    """The portal's own SSH key in a region: every host of it that has no key of its own lets this one in."""

    region = models.OneToOneField(Region, models.CASCADE, primary_key=True, related_name="+", verbose_name=_("region"))
    public_key = models.CharField(_("public key"), max_length=200,
                                  help_text=_("The line for root's .ssh/authorized_keys on every host."))
    private_key = EncryptedTextField(_("private SSH key"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("SSH identity"), _("SSH identities")

    def __str__(self) -> str:
        return fingerprint(self.public_key)


# What of a host can be claimed.
CLAIMED = ("vcpu", "memory_mib")


class Endpoint(models.Model):
    """A driver, an address and a credential: how one hypervisor (later: one vCenter) is reached."""

    class Mode(models.TextChoices):
        MANAGED = "managed", _("Managed")
        OBSERVED = "observed", _("Only observed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    driver = models.CharField(_("driver"), max_length=20, choices=[(name, name) for name in DRIVERS])
    uri = models.CharField(_("address"), max_length=300, help_text=_("For example qemu+ssh://root@10.99.7.11/system"))
    private_key = EncryptedTextField(_("private SSH key"), blank=True, help_text=_("Empty: the region's own key is used."))
    host_key = models.TextField(_("host key"), blank=True,
                                help_text=_("A known_hosts line or SHA256 fingerprint; connections to another key are refused. "
                                            "Empty: the key of the first contact is trusted and kept."))
    mode = models.CharField(_("mode"), max_length=10, choices=Mode, default=Mode.MANAGED)
    capabilities = models.JSONField(_("capabilities"), default=dict, editable=False)

    class Meta:
        verbose_name, verbose_name_plural = _("endpoint"), _("endpoints")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def target(self) -> Target | None:
        """The account that SSH reaches; None for what is reached otherwise."""
        return target_of(self.uri)

    @property
    def takes_commands(self) -> bool:
        return are_answered(self.driver, self.uri)

    @property
    def host_key_fingerprint(self) -> str:
        return fingerprint(self.host_key)


class Provider(models.Model):
    """Something with a capacity that is claimed: a host (later: pools, devices)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", verbose_name=_("region"))
    zone = models.ForeignKey(Zone, models.PROTECT, related_name="+", verbose_name=_("zone"))
    name = models.CharField(_("name"), max_length=80)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("capacity provider"), _("capacity providers")

    def __str__(self) -> str:
        return self.name


class HostQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Hosts are the operators' alone."""
        return self if user.grants.sees_everything else self.none()

    def followed(self) -> Self:
        """Hosts whose domains are looked at: ready ones, and such as were ready before something was found wrong."""
        return self.filter(Q(state=Host.State.READY) | Q(state=Host.State.ERROR, host_uuid__isnull=False))

    def with_claims(self) -> Self:
        """Each row knows what is claimed of it: `claimed_vcpu`, `claimed_memory_mib`."""
        def total(resource_class: str) -> Coalesce:
            rows = Claim.objects.filter(provider=OuterRef("pk"), resource_class=resource_class).order_by()
            return Coalesce(Subquery(rows.values("provider").annotate(total=Sum("amount")).values("total")), 0,
                            output_field=models.BigIntegerField())

        return self.annotate(**{f"claimed_{name}": total(name) for name in CLAIMED})


class Host(Provider):
    """A machine that runs instances. `state` is ours; `health` is what the last contact showed."""

    class State(models.TextChoices):
        PREPARING = "preparing", _("Preparing")
        READY = "ready", _("Ready")
        ERROR = "error", _("Error")

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        UP = "up", _("Up")
        UNREACHABLE = "unreachable", _("Unreachable")

    TONES = {State.PREPARING: "busy", State.READY: "ok", State.ERROR: "bad"}
    HEALTH_TONES = {Health.UNKNOWN: "off", Health.UP: "ok", Health.UNREACHABLE: "bad"}

    provider = models.OneToOneField(Provider, models.CASCADE, parent_link=True, primary_key=True, related_name="host")
    endpoint = models.OneToOneField(Endpoint, models.PROTECT, related_name="host", verbose_name=_("endpoint"))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PREPARING)
    fault = models.JSONField(null=True, editable=False, help_text=_("Why it is in error: a code and its facts."))
    advice = models.JSONField(default=list, editable=False, help_text=_("What could be better: codes and their facts."))
    health = models.CharField(_("health"), max_length=16, choices=Health, default=Health.UNKNOWN)
    health_reason = models.CharField(max_length=500, blank=True)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    is_in_maintenance = models.BooleanField(_("in maintenance"), default=False, help_text=_("Takes no new instances."))
    hostname = models.CharField(_("host name"), max_length=200, blank=True, editable=False)
    host_uuid = models.UUIDField(null=True, unique=True, editable=False)
    architecture = models.CharField(_("architecture"), max_length=20, blank=True, editable=False)
    hypervisor = models.CharField(_("hypervisor"), max_length=80, blank=True, editable=False)
    is_accelerated = models.BooleanField(_("runs KVM"), null=True, editable=False,
                                         help_text=_("Found by booting a probe guest."))
    vcpus = models.PositiveIntegerField(_("CPUs"), default=0, editable=False)
    memory_mib = models.PositiveIntegerField(_("memory (MiB)"), default=0, editable=False)
    traits = models.JSONField(_("can give guests"), default=list, editable=False, help_text=_(
        "Which classes of virtual hardware, beside what every host can give."))
    reserved_memory_mib = models.PositiveIntegerField(_("memory kept for the host (MiB)"), default=512)
    vcpu_ratio = models.DecimalField(_("vCPUs per CPU"), max_digits=5, decimal_places=2, default=4)
    disk_free_gib = models.PositiveIntegerField(null=True, editable=False,
                                                help_text=_("Free in its pools when they were last looked at."))
    versions = models.JSONField(_("versions"), default=dict, editable=False)
    chassis = models.CharField(_("chassis"), max_length=80, blank=True, editable=False,
                               help_text=_("Its name in OVN; empty when it has no network."))
    datapath = models.CharField(_("datapath"), max_length=20, blank=True, editable=False,
                                help_text=_("Where Open vSwitch forwards: netdev (user space) or system (kernel)."))
    is_gateway = models.BooleanField(_("reaches the public network"), default=False, editable=False)
    reconcile_until = models.DateTimeField(null=True, editable=False)

    objects = HostQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("host"), _("hosts")
        constraints = [models.CheckConstraint(condition=Q(vcpu_ratio__gt=0), name="host_ratio_positive")]

    @property
    def state_reason(self) -> str:
        """What is wrong and what to do about it, in the reader's language."""
        return obstacles.in_words(self.fault)

    @property
    def health_tone(self) -> str:
        return self.HEALTH_TONES[self.health]

    @property
    def advice_texts(self) -> list[str]:
        return [obstacles.in_words(row) for row in self.advice]

    @property
    def health_text(self) -> str:
        """Drivers' reasons are sentences of the catalogue."""
        return gettext(self.health_reason) if self.health_reason else ""

    @property
    def capacity(self) -> dict[str, int]:
        """What may be claimed in all, by resource class."""
        return {"vcpu": int(self.vcpus * self.vcpu_ratio), "memory_mib": max(0, self.memory_mib - self.reserved_memory_mib)}


class Claim(models.Model):
    """So much of a provider's class is taken by a consumer. Written by `placement` alone."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="claims")
    consumer = models.ForeignKey(Resource, models.PROTECT, related_name="claims")
    resource_class = models.CharField(max_length=20)
    amount = models.PositiveBigIntegerField()

    class Meta:
        verbose_name, verbose_name_plural = _("claim"), _("claims")
        constraints = [models.UniqueConstraint(fields=["provider", "consumer", "resource_class"], name="claim_once")]

    def __str__(self) -> str:
        return f"{self.amount} {self.resource_class}"


class Verdict(models.Model):
    """What placement thought of one host for one consumer: why it was taken or not."""

    consumer = models.ForeignKey(Resource, models.CASCADE, related_name="verdicts")
    host = models.ForeignKey(Host, models.CASCADE, related_name="verdicts")
    is_chosen = models.BooleanField(_("chosen"), default=False)
    weight = models.FloatField(_("weight"), null=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    facts = models.JSONField(default=dict)
    at = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("placement verdict"), _("placement verdicts")
        indexes = [models.Index(fields=["consumer", "-at"], name="verdict_of_consumer")]

    def __str__(self) -> str:
        return f"{self.host_id}: {self.reason or 'chosen'}"


class Discovered(models.Model):
    """Found on a host and not provably ours: never touched, only shown (later: takeover, migration sources). What is ours and is
    missed there is told here too (`lost_volume`)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, models.CASCADE, related_name="discovered", verbose_name=_("host"))
    kind = models.CharField(_("kind"), max_length=20)
    key = models.CharField(_("identifier"), max_length=200)
    name = models.CharField(_("name"), max_length=200)
    facts = models.JSONField(_("facts"), default=dict)
    first_seen_at = models.DateTimeField(_("first seen"), auto_now_add=True)
    last_seen_at = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name, verbose_name_plural = _("discovered object"), _("discovered objects")
        constraints = [models.UniqueConstraint(fields=["host", "kind", "key"], name="discovered_once")]

    def __str__(self) -> str:
        return self.name
