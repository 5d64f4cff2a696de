from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class KernelConfig(AppConfig):
    """What every room stands on."""

    name = "portal.kernel"
    label = "kernel"
    verbose_name = _("Platform")
