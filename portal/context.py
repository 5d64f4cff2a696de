"""What every page's frame shows: navigation, projects, theme, operations under way.

Lazy, so that fragments pay nothing.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import NotFound
from portal.kernel.models import Operation
from tenants.models import Project
from tenants.scope import current_project, projects_of

THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of the navigation."""

    label: Any
    icon: str
    name: str
    url: str = ""
    also: tuple[str, ...] = ()  # namespaces of pages below it
    is_current: bool = False


NAVIGATION = (
    (None, (Item(label=_("Dashboard"), icon="layout-dashboard", name="dashboard"),)),
    (_("Compute"), (Item(label=_("Instances"), icon="server", name="instances:list"),
                    Item(label=_("SSH keys"), icon="key", name="ssh_keys:list"))),
    (_("Network"), (Item(label=_("VPCs"), icon="sitemap", name="vpcs:list", also=("subnets", "ports")),
                    Item(label=_("Security groups"), icon="shield", name="security_groups:list", also=("security_group_rules",)),
                    Item(label=_("Floating IPs"), icon="world", name="floating_ips:list"))),
    (_("Storage"), (Item(label=_("Volumes"), icon="database", name="volumes:list"),)),
    (_("Account"), (Item(label=_("Usage"), icon="coin", name="billing:usage"),
                    Item(label=_("Operations"), icon="activity", name="operations:list"),
                    Item(label=_("API keys"), icon="api", name="api_keys:list"))),
)
OPERATOR = (_("Operator"), (Item(label=_("Hosts"), icon="server", name="hosts:list"),
                            Item(label=_("Needs a person"), icon="tool", name="operator:operations"),
                            Item(label=_("Site administration"), icon="shield-lock", name="admin:index")))


def shell(request: HttpRequest) -> dict[str, object]:
    """The context processor."""
    theme = request.COOKIES.get("theme", "auto")
    frame: dict[str, object] = {"theme": theme if theme in THEMES else "auto"}
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return frame
    return frame | {
        "navigation": SimpleLazyObject(lambda: _navigation(request)),
        "current_project": SimpleLazyObject(lambda: _project(request)),
        "projects": SimpleLazyObject(lambda: projects_of(request)),
        "live_operations": _once(lambda: Operation.objects.visible_to(user).unfinished().count()),
    }


def _once(count: Callable[[], int]) -> SimpleLazyObject:
    return SimpleLazyObject(count)


def _project(request: HttpRequest) -> Project | str:
    """Empty text for all projects: a lazy None would not be falsy to templates."""
    try:
        return current_project(request) or ""
    except NotFound:  # the error page of `?project=<nonsense>` has a frame too
        return ""


def _navigation(request: HttpRequest) -> list[tuple[object, list[Item]]]:
    sections = (*NAVIGATION, OPERATOR) if request.user.is_superuser else NAVIGATION
    return [(title, [entry for item in items if (entry := _entry(request, item))]) for title, items in sections]


def _entry(request: HttpRequest, item: Item) -> Item | None:
    """None for a page whose room is not installed."""
    try:
        url = reverse(item.name)
    except NoReverseMatch:
        return None
    here = request.resolver_match
    spaces = {item.name.partition(":")[0], *item.also} if ":" in item.name else set()
    is_current = here is not None and (here.view_name == item.name or here.namespace in spaces)
    return replace(item, url=url, is_current=is_current)
