from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """Measurements of what runs on hosts: samples, roll-ups, and how the passes over hosts went."""

    name = "compute.monitoring"
    label = "monitoring"
    verbose_name = _("Compute")
