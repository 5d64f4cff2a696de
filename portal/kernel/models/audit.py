"""Who did what to what, from where: one row in the transaction of the change, sealed into a chain seconds later."""
import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from portal.kernel.secrets import EncryptedTextField

from .operation import Operation
from .resource import Resource


class AuditQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Of projects in which `audit.view` is held; everything, deleted projects too, where the whole organization grants it."""
        grants = user.grants
        if grants.sees_everything:
            return self.all()
        found = Q(project_id__in=grants.projects("audit.view"))
        if wide := _whole_organizations(grants):
            found |= Q(organization_id__in=wide)
        return self.filter(found)


def about(text: str) -> Q:
    """Rows whose act or target contains the text, or begins with it: no index finds less than three letters in the midst."""
    how = "icontains" if len(text) >= 3 else "istartswith"
    return Q(**{f"action__{how}": text}) | Q(**{f"target_name__{how}": text})


class ChainQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(organization_id__in=_whole_organizations(grants))


class ChainManager(models.Manager.from_queryset(ChainQuerySet)):
    """Without the seal, which only sealing and verifying read: one that was tampered with must not break a page."""

    def get_queryset(self) -> ChainQuerySet:
        return super().get_queryset().defer("seal")


def _whole_organizations(grants) -> set[uuid.UUID]:
    return {pk for pk, names in grants.organization_wide.items() if "audit.view" in names}


class AuditChain(models.Model):
    """The sealed audit rows of one organization, or (without one) of the site: how many there are, and the hash of the newest.

    Triggers let `sequence` and `forgotten` only grow, and nothing younger than a day be forgotten.
    `looked` is how far the clock that looks at a part of it every minute has come.
    """

    class Fault(models.TextChoices):
        CHANGED = "changed", _("A row was changed")
        MISSING = "missing", _("Rows are missing")
        INSERTED = "inserted", _("A row was put in")
        HEAD = "head", _("The head of the chain was changed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.OneToOneField("tenants.Organization", models.PROTECT, null=True, related_name="audit_chain",
                                        verbose_name=_("organization"))
    sequence = models.PositiveBigIntegerField(_("sealed rows"), default=0)
    hash = models.BinaryField(default=b"")
    sealed_at = models.DateTimeField(_("sealed"), null=True)
    # The anchor: rows up to here are gone by the retention, and the rest follows on this hash.
    forgotten = models.PositiveBigIntegerField(_("forgotten rows"), default=0)
    forgotten_hash = models.BinaryField(default=b"")
    # The four numbers and hashes above under the master key, which whoever edits the database does not have.
    seal = EncryptedTextField(default="")
    verified_at = models.DateTimeField(_("verified"), null=True)
    verified = models.PositiveBigIntegerField(_("verified up to"), default=0)
    looked = models.PositiveBigIntegerField(default=0, editable=False)
    looked_at = models.DateTimeField(null=True, editable=False)
    fault = models.CharField(_("fault"), max_length=16, blank=True, choices=Fault)
    fault_sequence = models.PositiveBigIntegerField(_("first broken row"), null=True)

    objects = ChainManager()

    class Meta:
        verbose_name, verbose_name_plural = _("audit chain"), _("audit chains")
        constraints = [
            models.UniqueConstraint(fields=["organization"], nulls_distinct=False, name="audit_chain_once"),
            models.CheckConstraint(condition=Q(forgotten__lte=models.F("sequence")), name="audit_chain_forgets_sealed_rows"),
            models.CheckConstraint(condition=Q(fault__in=["", "changed", "missing", "inserted", "head"]),
                                   name="audit_chain_fault_known"),
        ]

    def __str__(self) -> str:
        return str(self.organization_id or _("the site"))


class AuditEvent(models.Model):
    """One act or refused attempt. A trigger refuses every change, save that sealing fills the last three fields once, that a
    person's name is erased, and that the retention deletes what its chain has forgotten.

    Where the target is a person, the chain vouches for a salted hash of their name instead of the name: with the salt and the
    name gone the row fits as before, and nobody can tell whose name it was.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, null=True, related_name="+", db_index=False,
                                     verbose_name=_("organization"))
    project = models.ForeignKey("tenants.Project", models.PROTECT, null=True, related_name="+", db_index=False,
                                verbose_name=_("project"))
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False,
                              verbose_name=_("actor"))
    on_behalf_of = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False,
                                     verbose_name=_("on behalf of"))
    api_key = models.UUIDField(null=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)
    # Method and template of the path, as `POST /instances/<pk>/stop/`; nothing outside of requests.
    route = models.CharField(_("route"), max_length=200, blank=True, db_default="")
    action = models.CharField(_("action"), max_length=80)
    resource = models.ForeignKey(Resource, models.PROTECT, null=True, related_name="audit_events",
                                 verbose_name=_("resource"))
    target_type = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_name = models.CharField(max_length=200, blank=True)
    name_salt = models.BinaryField(null=True)
    name_hash = models.BinaryField(null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    result = models.CharField(_("result"), max_length=16, default="ok")
    # Not held to exist: an audit row stays as it was written when the operation that it names is forgotten (retention).
    operation = models.ForeignKey(Operation, models.DO_NOTHING, null=True, related_name="audit_events", db_constraint=False)
    chain = models.ForeignKey(AuditChain, models.PROTECT, null=True, related_name="events", db_index=False)
    sequence = models.PositiveBigIntegerField(_("number in the chain"), null=True)
    hash = models.BinaryField(null=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("audit event"), _("audit events")
        constraints = [models.UniqueConstraint(fields=["chain", "sequence"], name="audit_sequence_once")]
        indexes = [
            models.Index(fields=["project", "-at", "-id"], name="audit_listing"),
            models.Index(fields=["organization", "-at", "-id"], name="audit_of_organization"),
            models.Index(fields=["actor", "-at", "-id"], name="audit_of_actor"),
            models.Index(fields=["action", "-at", "-id"], name="audit_of_action"),
            models.Index(fields=["address", "-at", "-id"], name="audit_from_address"),
            models.Index(fields=["target_type", "-at", "-id"], name="audit_of_kind"),
            models.Index(fields=["target_id"], name="audit_of_target"),
            models.Index(fields=["-at", "-id"], name="audit_refused", condition=~Q(result="ok")),
            models.Index(fields=["organization", "at"], name="audit_not_sealed", condition=Q(chain=None)),
            GinIndex(OpClass(Upper("action"), name="gin_trgm_ops"), OpClass(Upper("target_name"), name="gin_trgm_ops"),
                     name="audit_words"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_name}"

    @property
    def is_erased(self) -> bool:
        """Whether it named a person who is forgotten."""
        return self.name_hash is not None and self.name_salt is None

    @property
    def hash_text(self) -> str:
        """In hexadecimal; empty until it is sealed."""
        return bytes(self.hash).hex() if self.hash else ""
