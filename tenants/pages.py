"""The mark that every page carries: who may come in. The permission matrix reads it; no page lives here."""
from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse


def page(permission: str | None) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """For signed-in users; `permission` is what the view itself requires of the object through `access` (None: nothing more)."""

    def mark(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        guarded = login_required(view)
        guarded.permission = permission
        return guarded

    return mark
