"""Classes of virtual hardware: what a type may say of firmware, board, processor and devices."""
from django.db import models
from django.utils.translation import gettext_lazy as _


class Firmware(models.TextChoices):
    BIOS = "bios", _("BIOS")
    UEFI = "uefi", _("UEFI")
    UEFI_SECURE = "uefi-secure", _("UEFI with secure boot and TPM")


class Machine(models.TextChoices):
    Q35 = "q35", _("q35 (PCI Express)")
    I440FX = "i440fx", _("i440fx (PCI, for old systems)")


class CpuMode(models.TextChoices):
    HOST = "host", _("As its host’s")
    HOST_MODEL = "host-model", _("The model next to its host’s")
    BASELINE = "baseline", _("One that every host has")


class IoClass(models.TextChoices):
    EMULATED = "emulated", _("Emulated (SATA and e1000: needs no drivers)")
    VIRTIO = "virtio", _("Paravirtual (virtio)")
    MULTIQUEUE = "multiqueue", _("Paravirtual with a queue for each vCPU")


MOST_NODES = 8
OF_CLASS = ("firmware", "machine", "cpu_mode", "io_class", "numa_nodes", "has_hugepages")
"""The fields of a type that say it."""
