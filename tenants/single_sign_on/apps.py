from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SingleSignOnConfig(AppConfig):
    """Signing in with OpenID Connect providers. Its tables are in `tenants.models`."""

    name = "tenants.single_sign_on"
    label = "single_sign_on"
    verbose_name = _("Single sign-on")
