"""What the pages before signing in ask."""
from typing import Any

from django import template
from django.conf import settings

from tenants.models import Connection, Organization

register = template.Library()


@register.simple_tag
def signup_is_open() -> bool:
    """Whether to offer sign-up at all."""
    return settings.SIGNUP_OPEN


@register.simple_tag
def calculator_is_open() -> bool:
    """Whether everybody may look at prices."""
    return settings.PRICE_CALCULATOR


@register.simple_tag
def mails_are_kept() -> bool:
    """Whether mails stay here for operators to read, as in a demo."""
    return not settings.EMAIL_URL


@register.simple_tag
def single_sign_ons() -> dict[str, Any]:
    """Providers with a button, and whether there are others, which are found by e-mail address. One statement."""
    rows = list(Connection.objects.usable().only("slug", "name", "is_listed").order_by("name"))
    return {"listed": [row for row in rows if row.is_listed], "has_more": any(not row.is_listed for row in rows)}


@register.simple_tag
def organizations_behind(user: Any) -> list[str]:
    """Names of the organizations that are shut until the user has a second factor."""
    locked = user.grants.locked
    return list(Organization.objects.filter(pk__in=locked).order_by("name").values_list("name", flat=True)) if locked else []
