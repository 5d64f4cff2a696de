"""Security groups: which traffic reaches a port and leaves it. What no rule allows is dropped."""
import uuid
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Resource

from .cidr import CidrField


class SecurityGroup(Resource):
    """A named set of rules, given to any ports of its project. Rules only allow; answers to what was allowed pass."""

    KIND = "security_group"

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True,
                                    related_name="as_security_group")
    is_default = models.BooleanField(_("default"), default=False)

    class Meta:
        verbose_name, verbose_name_plural = _("security group"), _("security groups")


class RuleQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "securitygroup.view") -> Self:
        rows = self.filter(group__deleted_at=None)
        grants = user.grants
        return rows if grants.sees_everything else rows.filter(group__project_id__in=grants.projects(permission))


class SecurityGroupRule(models.Model):
    """One permission. `port_min` … `port_max` are for TCP and UDP; without them all ports. No remote: from or to anywhere."""

    class Direction(models.TextChoices):
        INGRESS = "ingress", _("Incoming")
        EGRESS = "egress", _("Outgoing")

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        UDP = "udp", "UDP"
        ICMP = "icmp", "ICMP"
        ANY = "any", _("Any")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    group = models.ForeignKey(SecurityGroup, models.PROTECT, related_name="rules", verbose_name=_("security group"))
    direction = models.CharField(_("direction"), max_length=8, choices=Direction)
    protocol = models.CharField(_("protocol"), max_length=8, choices=Protocol)
    port_min = models.PositiveIntegerField(_("from port"), null=True, blank=True)
    port_max = models.PositiveIntegerField(_("to port"), null=True, blank=True)
    remote_cidr = CidrField(_("remote network"), null=True, blank=True)
    remote_group = models.ForeignKey(SecurityGroup, models.PROTECT, null=True, blank=True, related_name="+",
                                     verbose_name=_("remote security group"))
    description = models.CharField(_("description"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("security group rule"), _("security group rules")
        ordering = ["direction", "protocol", "port_min", "created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(port_min=None, port_max=None)
                                   | Q(protocol__in=["tcp", "udp"], port_min__gte=1, port_max__lte=65535,
                                       port_max__gte=F("port_min")), name="rule_ports_in_order"),
            models.CheckConstraint(condition=Q(remote_cidr=None) | Q(remote_group=None), name="rule_has_one_remote"),
        ]

    def __str__(self) -> str:
        ports = "" if self.port_min is None else f" {self.port_min}–{self.port_max}"
        return f"{self.direction} {self.protocol}{ports}"

    @property
    def project_id(self) -> uuid.UUID:
        return self.group.project_id

    @property
    def project(self):
        return self.group.project
