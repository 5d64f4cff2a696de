"""What the pages before signing in ask."""
from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def signup_is_open() -> bool:
    """Whether to offer sign-up at all."""
    return settings.SIGNUP_OPEN


@register.simple_tag
def mails_are_kept() -> bool:
    """Whether mails stay here for operators to read, as in a demo."""
    return not settings.EMAIL_URL
