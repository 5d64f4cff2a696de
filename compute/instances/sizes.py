"""A size: a type, and how many vCPUs and how much memory of it. Only those of a custom type are chosen."""
from dataclasses import dataclass
from typing import Self

from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance, InstanceType
from portal.kernel.declarations import Reading

FIXED = _("The type “%(type)s” has one size. Choose another type with actions/resize.")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What it takes of quota and host, and what is metered of it."""

    type: InstanceType
    vcpus: int
    memory_mib: int

    @classmethod
    def chosen(cls, type: InstanceType, vcpus: int | None = None, memory_mib: int | None = None) -> Self:
        """What is not said is the least that the type has."""
        return cls(type=type, vcpus=type.vcpus if vcpus is None else vcpus,
                   memory_mib=type.memory_mib if memory_mib is None else memory_mib)

    @classmethod
    def of(cls, instance: Instance) -> Self:
        return cls(type=instance.type, vcpus=instance.vcpus, memory_mib=instance.memory_mib)

    @property
    def quota(self) -> dict[str, int]:
        """By quota dimension."""
        return {"vcpus": self.vcpus, "memory_mib": self.memory_mib}

    @property
    def of_host(self) -> dict[str, int]:
        """What it claims of a host."""
        return {"vcpu": self.vcpus, "memory_mib": self.memory_mib}

    @property
    def words(self) -> str:
        """For the audit trail: “custom (4 vCPU, 2048 MiB)”; a fixed one is called by its type alone."""
        return f"{self.type.slug} ({self.vcpus} vCPU, {self.memory_mib} MiB)" if self.type.is_custom else self.type.slug

    @property
    def errors(self) -> dict[str, list[str]]:
        """By field, why there is no such size of the type."""
        type, found = self.type, {}
        if not type.is_custom:
            if (self.vcpus, self.memory_mib) != (type.vcpus, type.memory_mib):
                wrong = [str(FIXED % {"type": type.name})]
                found = {name: wrong for name, is_other in (
                    ("vcpus", self.vcpus != type.vcpus), ("memory_mib", self.memory_mib != type.memory_mib)) if is_other}
            return found
        for name, value, least, most, step in (
                ("vcpus", self.vcpus, type.vcpus, type.max_vcpus, type.vcpus_step),
                ("memory_mib", self.memory_mib, type.memory_mib, type.max_memory_mib, type.memory_step_mib)):
            if not least <= value <= most or (value - least) % step:
                found[name] = [str(_("From %(least)s to %(most)s in steps of %(step)s.") % {
                    "least": least, "most": most, "step": step})]
        return found

    def readings(self, state: str) -> list[Reading]:
        return self.type.readings(state, vcpus=self.vcpus, memory_mib=self.memory_mib)
