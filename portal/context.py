"""What every page's frame shows: navigation, project and region, theme, operations under way, the bell.

Lazy, so that fragments pay nothing. The switcher's list of projects is fetched when it is opened, so a frame costs the
same with 500 projects as with one.
"""
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, resolve, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from portal.kernel.errors import NotFound
from portal.kernel.models import Region
from portal.notifications import activity_of
from tenants.models import Project
from tenants.pages import SIGNED_IN, is_refused
from tenants.scope import current_project, current_region, know_regions, projects_of, regions_of

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
    waiting: str = ""  # what of the activity says how much of it waits for the user
    count: Any = 0


NAVIGATION = (
    (None, (Item(label=_("Dashboard"), icon="layout-dashboard", name="dashboard"),)),
    (_("Compute"), (Item(label=_("Instances"), icon="server", name="instances:list"),
                    Item(label=_("Launch templates"), icon="stack-2", name="launch_templates:list"),
                    Item(label=_("Schedules"), icon="clock", name="instance_schedules:list"),
                    Item(label=_("SSH keys"), icon="key", name="ssh_keys:list"))),
    (_("Network"), (Item(label=_("VPCs"), icon="sitemap", name="vpcs:list", also=("subnets", "ports")),
                    Item(label=_("Security groups"), icon="shield", name="security_groups:list", also=("security_group_rules",)),
                    Item(label=_("Floating IPs"), icon="world", name="floating_ips:list"))),
    (_("Storage"), (Item(label=_("Volumes"), icon="database", name="volumes:list"),
                    Item(label=_("Snapshots"), icon="camera", name="snapshots:list"),
                    Item(label=_("Images"), icon="disc", name="images:list"))),
    (_("Account"), (Item(label=_("Projects"), icon="folder", name="projects:list"),
                    Item(label=_("Organization"), icon="building", name="organizations:list"),
                    Item(label=_("Quota requests"), icon="chart-bar", name="quota_requests:list", waiting="requests"),
                    Item(label=_("Operations"), icon="activity", name="operations:list"),
                    Item(label=_("Audit trail"), icon="history", name="audit:list"),
                    Item(label=_("API keys"), icon="api", name="api_keys:list"),
                    Item(label=_("Members"), icon="users", name="members:list", also=("invitations", "groups", "roles")),
                    Item(label=_("Webhooks"), icon="bolt", name="webhooks:list"))),
    (_("Billing"), (Item(label=_("Costs"), icon="chart-bar", name="costs:page"),
                    Item(label=_("Usage"), icon="coin", name="billing:usage"),
                    Item(label=_("Budgets"), icon="calendar-stats", name="budgets:list"),
                    Item(label=_("Balance"), icon="report-money", name="balance:page"),
                    Item(label=_("Invoices"), icon="file-text", name="invoices:list"),
                    Item(label=_("Payments"), icon="credit-card", name="payments:list"),
                    Item(label=_("Exports"), icon="download", name="exports:list", also=("export_schedules",)))),
)
OPERATOR = (_("Operator"), (Item(label=_("Hosts"), icon="server", name="hosts:list"),
                            Item(label=_("Needs a person"), icon="tool", name="operator:operations"),
                            Item(label=_("Emergency access"), icon="shield-lock", name="emergency:list"),
                            Item(label=_("Outbox"), icon="mail", name="outbox:list"),
                            Item(label=_("Site administration"), icon="shield-lock", name="admin:index")))

# Reached by the menu of whoever is signed in; breadcrumbs name them.
PERSONAL = (Item(label=_("Account"), icon="user", name="profile:page"),
            Item(label=_("Two-step sign-in"), icon="shield-lock", name="mfa_index"))


def sections() -> tuple[tuple[Any, tuple[Item, ...]], ...]:
    """The whole navigation, whoever asks: titles and their pages."""
    return (*NAVIGATION, OPERATOR)


def shell(request: HttpRequest) -> dict[str, object]:
    """The context processor."""
    theme = request.COOKIES.get("theme", "auto")
    frame: dict[str, object] = {"theme": theme if theme in THEMES else "auto"}
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return frame
    told = SimpleLazyObject(lambda: activity_of(request))
    return frame | {
        "navigation": SimpleLazyObject(lambda: navigation_of(request)),
        "current_project": SimpleLazyObject(lambda: _project(request)),
        "projects": SimpleLazyObject(lambda: projects_of(request)),
        "scope": SimpleLazyObject(lambda: scope_of(request)),
        "activity": told,
        "maintenance": told,
        "impersonation": getattr(request, "impersonation", None),
    }


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the two switchers say. `project` is also the only one that there is; None then means all or none."""

    project: Project | None
    has_projects: bool
    is_only_project: bool
    region: Region | None
    regions: list[Region]
    to: str
    """Where choosing another project leads."""


def scope_of(request: HttpRequest) -> Scope:
    """At most one statement beside that of the activity, however many projects there are."""
    know_regions(request, activity_of(request).regions)
    grants = request.user.grants
    visible = grants.projects("project.view")
    chosen = _project(request) or None
    is_only = len(visible) == 1 and not grants.sees_everything
    if chosen is None and is_only:
        chosen = next(iter(projects_of(request)), None)
    return Scope(project=chosen, has_projects=bool(visible) or grants.sees_everything, is_only_project=is_only,
                 region=current_region(request), regions=regions_of(request), to=_scope_path(request))


def _scope_path(request: HttpRequest) -> str:
    """Where changing the project leads: the same list of the other project; from one thing's page, to the list above it."""
    here = request.resolver_match
    if here is None or not here.kwargs:
        return request.path
    current = (entry for _title, items in navigation_of(request) for entry in items if entry.is_current)
    return next((entry.url for entry in current), reverse("dashboard"))


def _project(request: HttpRequest) -> Project | str:
    """Empty text for all projects: a lazy None would not be falsy to templates."""
    try:
        return current_project(request) or ""
    except NotFound:  # the error page of `?project=<nonsense>` has a frame too
        return ""


def navigation_of(request: HttpRequest) -> list[tuple[object, list[Item]]]:
    """The sections that the user has, each with its pages that are installed."""
    shown = sections() if request.user.is_superuser else NAVIGATION
    return [(title, [entry for item in items if (entry := _entry(request, item))]) for title, items in shown]


@cache
def _needed(name: str) -> str:
    """What the page declares; nothing is asked of pages that are not ours."""
    return getattr(resolve(reverse(name)).func, "permission", SIGNED_IN)


def _entry(request: HttpRequest, item: Item) -> Item | None:
    """None for a page whose room is not installed, or that would refuse the user."""
    try:
        url = reverse(item.name)
    except NoReverseMatch:
        return None
    if is_refused(request.user, _needed(item.name)):
        return None
    here = request.resolver_match
    spaces = {item.name.partition(":")[0], *item.also} if ":" in item.name else set()
    is_current = here is not None and (here.view_name == item.name or here.namespace in spaces)
    # Lazy: whoever only asks where pages are pays for no count.
    count = SimpleLazyObject(lambda: getattr(activity_of(request), item.waiting)) if item.waiting else 0
    return replace(item, url=url, is_current=is_current, count=count)
