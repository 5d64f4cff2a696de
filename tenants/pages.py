"""`@page(permission)`: the one decorator of every HTML view. The permission matrix reads what it declares.

    @page("instance.create", methods=("GET", "POST"))
    def create(request): ...

    @page("instance.operate", methods=("POST",))
    def stop(request, pk):
        instance = access.fetch(request.user, Instance.objects, "instance.operate", pk=pk)

A view whose path carries an id fetches through `tenants.access.fetch` with the same permission (hidden 404, visible but
not allowed 403). On paths without an id the decorator itself refuses callers who hold the permission nowhere.
"""
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from portal.kernel.errors import NotFound
from portal.kernel.rest.rights import NOT_PERMISSIONS, SIGNED_IN, STAFF

PUBLIC = "public"
"""Anybody, signed in or not: health, the sign-in page. Shows no tenant's data."""

View = Callable[..., HttpResponse]


def page(permission: str = SIGNED_IN, *, public: bool = False,
         methods: Iterable[str] = ("GET",)) -> Callable[[View], View]:
    """Declare what the view needs: a permission's name, SIGNED_IN, STAFF (others get 404), or `public=True`."""
    accepted = tuple(methods)
    accepted += ("HEAD",) if "GET" in accepted else ()

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not public:
                _check(request.user, permission, has_object=bool(args or kwargs))
            return view(request, *args, **kwargs)

        found = require_http_methods(list(accepted))(guarded)
        found = found if public else login_required(found)
        found.permission = PUBLIC if public else permission
        found.methods = accepted
        return found

    return decorate


def _check(user: Any, permission: str, *, has_object: bool) -> None:
    grants = user.grants
    if permission == STAFF and not grants.sees_everything:
        raise grants.refusal(permission) if grants.is_held_behind(permission) else NotFound
    if not has_object and is_refused(user, permission):
        raise grants.refusal(permission)


def is_refused(user: Any, permission: str) -> bool:
    """Whether a page without an id refuses the user: the permission is held nowhere, and others are somewhere. Somebody without
    any project is let in: the page says that there is nothing yet; unless a second factor is all that is missing."""
    grants = user.grants
    is_somewhere = grants.by_project or grants.organization_wide or grants.behind
    return bool(permission not in NOT_PERMISSIONS and is_somewhere and not grants.may_anywhere(permission))
