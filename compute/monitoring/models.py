"""Samples of what domains use, what they come to in a minute, an hour and a day, and how the last pass over a host went.

The tables of samples and roll-ups are divided by time (`partitions`): what is too old goes with its partition. Their rows know
domains by their UUID alone, as hosts do, and outlive whatever they were of until then. They are written by SQL only.
"""
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from compute.hosts.models import Host


class Measured(models.Model):
    """What every row has: counters, and memory in bytes (None: nobody told)."""

    domain = models.UUIDField()
    at = models.DateTimeField()
    cpu_ns = models.BigIntegerField()
    read_bytes = models.BigIntegerField()
    write_bytes = models.BigIntegerField()
    reads = models.BigIntegerField()
    writes = models.BigIntegerField()
    rx_bytes = models.BigIntegerField()
    tx_bytes = models.BigIntegerField()
    rx_packets = models.BigIntegerField()
    tx_packets = models.BigIntegerField()
    memory_bytes = models.BigIntegerField(null=True)
    used_bytes = models.BigIntegerField(null=True)
    rss_bytes = models.BigIntegerField(null=True)

    class Meta:
        abstract = True
        # Roll-ups take all domains of a time. Rows lie almost in the order of time, so that this index is next to nothing.
        indexes = [BrinIndex(fields=["at"], autosummarize=True, name="%(app_label)s_%(class)s_at")]

    def __str__(self) -> str:
        return f"{self.domain} {self.at}"


class Sample(Measured):
    """The counters of a running domain as its host told them; they grow within an epoch of a host."""

    pk = models.CompositePrimaryKey("domain", "at")
    host = models.UUIDField()
    epoch = models.BigIntegerField()
    vcpus = models.IntegerField()


class Rollup(Measured):
    """How much the counters grew between samples of which the later lies in this step, over so many milliseconds, and over how
    many of one vCPU; of memory the most that it was. So steps add up to longer ones, whatever they lack."""

    pk = models.CompositePrimaryKey("domain", "at")
    measured_ms = models.BigIntegerField()
    vcpu_ms = models.BigIntegerField()

    class Meta(Measured.Meta):
        abstract = True


class Minute(Rollup):
    """A minute, from samples."""


class Hour(Rollup):
    """An hour, from minutes."""


class Day(Rollup):
    """A day of UTC, from hours."""


class Due(models.Model):
    """A minute that has got samples of a host since it was last summed up. Of each host by itself, so that passes over different
    hosts do not wait for each other."""

    pk = models.CompositePrimaryKey("host", "at")
    host = models.UUIDField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="due_minutes")]

    def __str__(self) -> str:
        return f"{self.host} {self.at}"


class MeasuringPass(models.Model):
    """The newest pass over a host, and how many there were before it."""

    host = models.OneToOneField(Host, models.CASCADE, primary_key=True, related_name="measuring", verbose_name=_("host"))
    at = models.DateTimeField(_("time"))
    duration_ms = models.PositiveIntegerField(_("duration (ms)"))
    domains = models.PositiveIntegerField(_("domains"), default=0)
    fault = models.CharField(_("fault"), max_length=500, blank=True)
    passes = models.PositiveBigIntegerField(_("passes"), default=0)
    failures = models.PositiveBigIntegerField(_("failed passes"), default=0)

    class Meta:
        verbose_name, verbose_name_plural = _("measuring pass"), _("measuring passes")

    def __str__(self) -> str:
        return f"{self.host_id} {self.at}"

    @property
    def fault_text(self) -> str:
        """Drivers' reasons are sentences of the catalogue."""
        return gettext(self.fault) if self.fault else ""
