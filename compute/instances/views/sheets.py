"""The page of one resource, whatever its kind: heading with what can be done, tabs in the address, timeline, cost, danger.

A kind's view builds a `Sheet` and hands it to `show`. Contents of tabs are read only when the tab is looked at.
"""
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from compute.instances import costs, timeline
from portal.kernel.models import Operation, Resource
from portal.kernel.pages import fragment, is_fragment

HEADER, PART, BOTH = "resources/_header.html", "resources/_part.html", "resources/_both.html"
UNDER_WAY = ("hold",)
"""What a kind's view selects with its row."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """A button: a link, or a question and a POST. `why_not` says why it cannot be pressed."""

    label: Any
    symbol: str
    url: str
    why_not: Any = ""
    question: Any = ""
    text: Any = ""
    typed: str = ""
    is_link: bool = False
    is_bad: bool = False
    in_menu: bool = False


@dataclass(frozen=True, kw_only=True)
class Danger:
    """What ends it, with everything that this does, spelled out."""

    action: Action
    effects: Sequence[Any]
    others: Sequence["Danger"] = ()
    """Further ways to end it."""

    @property
    def ways(self) -> list["Danger"]:
        return [self, *self.others]

    @property
    def as_list(self) -> list[Action]:
        return [self.action]


@dataclass(frozen=True, kw_only=True)
class Tab:
    """One part of the page. `content` makes what its template reads; one that is not live keeps what is typed in it."""

    label: Any
    part: str
    content: Callable[[], Mapping[str, object]] = dict
    is_live: bool = True
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """All that `show` needs to know. `lead` is the template of the line below the name; `live` names what the page follows."""

    row: Any
    list_page: str
    lead: str
    tabs: Mapping[str, Tab]
    actions: Sequence[Action] = ()
    live: str = ""
    in_flight: bool = False
    context: Mapping[str, object] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.row.name

    @property
    def buttons(self) -> list[Action]:
        return [action for action in self.actions if not action.in_menu]

    @property
    def menu(self) -> list[Action]:
        """Behind “More”."""
        return [action for action in self.actions if action.in_menu]


def show(request: HttpRequest, sheet: Sheet, *, status: int = 200) -> HttpResponse:
    """`?tab=` chooses the part (the first when it names none); a fragment is the part, or the header with `?part=header`.

    A live page that wants both asks for the part and names the header in `Live-Along`.
    """
    name = request.GET.get("tab", "")
    name = name if name in sheet.tabs else next(iter(sheet.tabs))
    tab = sheet.tabs[name]
    is_header = is_fragment(request) and request.GET.get("part") == "header"
    is_along = is_fragment(request) and not is_header and "Live-Along" in request.headers
    context = {"sheet": sheet, "resource": sheet.row, "tab": name, "shown": tab, "in_flight": sheet.in_flight,
               "is_along": is_along, "tabs": [(key, one.label, one.count) for key, one in sheet.tabs.items()], **sheet.context}
    if not is_header:
        context |= tab.content()
    if is_header or is_along or not is_fragment(request):
        context["operation"] = under_way(sheet.row)
    response = fragment(request, "resources/detail.html", HEADER if is_header else BOTH if is_along else PART, **context)
    response.status_code = status
    return response


def under_way(row: Any) -> Operation | None:
    """The operation that works on the resource now, by a statement when there is one. Wants UNDER_WAY selected."""
    hold = getattr(row, "hold", None)
    return hold and Operation.objects.select_related("actor", "target").get(pk=hold.operation_id)


def timeline_tab(request: HttpRequest, subjects: Callable[[], Collection[UUID]]) -> Tab:
    """What was done to these and by whom; `?before=` a mark shows what is older."""
    return Tab(label=gettext_lazy("Timeline"), part="resources/_timeline.html", content=lambda: {
        "timeline": timeline.timeline(request.user, subjects(), request.GET.get("before", ""))})


def cost_tab(request: HttpRequest, row: Resource, others: Callable[[], Collection[UUID]] = tuple) -> Tab:
    return Tab(label=gettext_lazy("Cost"), part="resources/_cost.html",
               content=lambda: {"costs": costs.costs(request.user, row, others())})


def edit_action(request: HttpRequest, row: Resource, permission: str, name: str) -> Action:
    """The link to the form that changes name, description and tags."""
    return Action(label=_("Edit"), symbol="pencil", url=reverse(name, args=[row.pk]), is_link=True,
                  why_not=may_not(request, permission, row))


def may_not(request: HttpRequest, permission: str, row: Any) -> str:
    """Why the reader's role forbids it; empty when it does not. Operators are offered what needs an emergency access: whoever
    presses it is told of that, and the page need not ask."""
    grants = request.user.grants
    return "" if grants.sees_everything or grants.allows(permission, row) else _("Your role does not include this.")
