"""Admin has no door of its own: whoever is not signed in comes by the portal's, with every step of it. Where operators must have
a second factor, admin is shut without one.
"""
from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest

from tenants.errors import MfaRequired
from tenants.factors import has_factor

_by_django = admin.site.has_permission


def has_permission(request: HttpRequest) -> bool:
    """Django's rule. Raises MfaRequired, which leads to the set-up."""
    if not _by_django(request):
        return False
    if settings.OPERATORS_REQUIRE_MFA and not has_factor(request.user):
        raise MfaRequired
    return True


admin.site.login = secure_admin_login(admin.site.login)
admin.site.has_permission = has_permission
