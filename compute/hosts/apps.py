from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class HostsConfig(AppConfig):
    """Endpoints, hosts, what they have and who claimed it."""

    name = "compute.hosts"
    label = "hosts"
    verbose_name = _("Compute")
