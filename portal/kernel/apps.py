from django.apps import AppConfig


class KernelConfig(AppConfig):
    """What every room stands on."""

    name = "portal.kernel"
    label = "kernel"
    verbose_name = "Kernel"
