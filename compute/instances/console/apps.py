from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConsoleConfig(AppConfig):
    """Screens of instances in the browser: tickets and the relay."""

    name = "compute.instances.console"
    label = "console"
    verbose_name = _("Compute")
