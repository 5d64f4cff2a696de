"""What can be done and where one can go by typing: pages of the navigation, things to create, projects, documents.

Derived from the navigation and from what is installed; each entry is shown to those who may use it.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from portal import manual
from portal.context import navigation_of
from tenants.models import Project

MOST_ACTIONS, MOST_PROJECTS, MOST_DOCUMENTS = 8, 5, 3
SHORTEST_TEXT = 2  # shorter ones are in every document
ALWAYS = 6  # shown before anything is typed


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing to do: words, address, icon."""

    label: str
    url: str
    icon: str
    note: str = ""
    words: str = ""


# Page, permission, what it says. Absent pages are left out, so a room may be missing.
CREATES = (
    ("instances:create", "instance.create", gettext_lazy("Create instance"), "server"),
    ("vpcs:create", "vpc.manage", gettext_lazy("Create VPC"), "sitemap"),
    ("security_groups:create", "securitygroup.manage", gettext_lazy("Create security group"), "shield"),
    ("floating_ips:create", "floatingip.manage", gettext_lazy("Allocate floating IP"), "world"),
    ("ssh_keys:create", "sshkey.manage", gettext_lazy("Add SSH key"), "key"),
)
FURTHER = (
    ("docs:index", gettext_lazy("Documentation"), "book"), ("api-docs", gettext_lazy("API reference"), "terminal-2"),
    ("notifications:list", gettext_lazy("Notifications"), "bell"),
    ("account_change_password", gettext_lazy("Change password"), "password"),
)


def actions(request: HttpRequest, text: str) -> list[Action]:
    """What fits the words; without any, what people do most."""
    wanted = text.casefold().split()
    found = [action for action in _all(request) if _fits(action, wanted)]
    return found[:MOST_ACTIONS] if wanted else found[:ALWAYS]


def projects(request: HttpRequest, text: str) -> list[Action]:
    """Projects to change over to, by parts of their own or their organization's name."""
    words = text.split()[:MOST_ACTIONS]
    if not words:
        return []
    rows = Project.objects.visible_to(request.user).select_related("organization")
    for word in words:
        rows = rows.filter(name__icontains=word) | rows.filter(organization__name__icontains=word)
    return [Action(label=row.name, note=row.organization.name, icon="folder", url=f"{reverse('dashboard')}?project={row.pk}")
            for row in rows.order_by("name", "pk")[:MOST_PROJECTS]]


def documents(text: str) -> list[Action]:
    """Pages of the documentation that hold every word."""
    found = manual.found(text, MOST_DOCUMENTS) if len(text) >= SHORTEST_TEXT else []
    return [Action(label=page.title, note=str(page.guide.title), icon="book", url=page.url) for page in found]


def _all(request: HttpRequest) -> Iterator[Action]:
    for name, permission, label, icon in CREATES:
        if (url := _address(name)) and request.user.grants.may_anywhere(permission):
            yield Action(label=str(label), url=url, icon=icon, words=_in_english(label))
    for section, items in navigation_of(request):
        for item in items:
            yield Action(label=_("Go to %(page)s") % {"page": item.label}, url=item.url, icon=item.icon,
                         note=str(section or ""), words=_in_english(item.label))
    for name, label, icon in FURTHER:
        if url := _address(name):
            yield Action(label=str(label), url=url, icon=icon, words=_in_english(label))
    yield Action(label=_("Show all projects"), url=f"{reverse('dashboard')}?project=all", icon="folder")


def _address(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _in_english(label: Any) -> str:
    """People type what they read in a manual, whatever language the page is in."""
    with override("en"):
        return str(label)


def _fits(action: Action, wanted: list[str]) -> bool:
    text = f"{action.label} {action.note} {action.words}".casefold()
    return all(word in text for word in wanted)
