"""The components of the design system that take more than an include: breadcrumbs, cards, facts, sortable headers.

Built in, like `ui`: no template loads it. Each draws a template of `templates/ui/`; the page `/ui/` shows them all.
"""
from typing import Any

from django import template
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.utils.translation import ngettext

from portal.context import PERSONAL, Item, sections
from portal.kernel.declarations import registry
from portal.kernel.models import Resource
from portal.search import page_of as resource_page
from tenants.models import Project

register = template.Library()
Crumb = tuple[Any, str]  # label, address ("" when it is no page)


@register.inclusion_tag("ui/_crumbs.html", takes_context=True)
def crumbs(context: template.Context, *parts: Any) -> dict[str, Any]:
    """The way to this page: `{% crumbs "instances:list" instance.project %}`.

    A part is the name of a page of the navigation (its section comes before it), a project, a resource, a text, or a list
    of (label, address). The page's own title ends the trail. Without parts, and before a list: the entry of the navigation
    that the page belongs to.
    """
    trail: list[Crumb] = []
    here = context["request"].resolver_match
    given = [part for part in parts if part]
    if not given or isinstance(given[0], (list, tuple)):
        given = [*_own_section(here), *given]
    for part in given:
        trail += _crumbs_of(part, is_first=not trail)
    title = context.get("page_title", "")
    return {"trail": trail, "title": title} if trail else {"trail": [], "title": ""}


def _own_section(here: Any) -> list[str]:
    """The navigation's entry that a page belongs to, or only its section when it is that entry."""
    for section, items in sections():
        for item in items:
            if here is not None and here.view_name == item.name:
                return [section] if section else []
            if here is not None and ":" in item.name and here.namespace in {item.name.partition(":")[0], *item.also}:
                return [item.name]
    return []


def _crumbs_of(part: Any, *, is_first: bool) -> list[Crumb]:
    if isinstance(part, Project):
        return [(part.organization.name, ""), (part.name, f"{reverse('dashboard')}?project={part.pk}")]
    if isinstance(part, Resource):
        page = registry.kinds[part.kind].page
        return [(part.name, reverse(page, args=[part.pk]) if page else "")]
    if isinstance(part, (list, tuple)):
        return [(label, address or "") for label, address in part]
    found = _navigated(str(part))
    if found is None:
        return [(part, "")] if part else []
    section, item = found
    try:
        entry = (item.label, reverse(item.name))
    except NoReverseMatch:
        entry = (item.label, "")
    return [(section, ""), entry] if section and is_first else [entry]


def _navigated(name: str) -> tuple[Any, Item] | None:
    everything = (*sections(), (None, PERSONAL))
    return next(((section, item) for section, items in everything for item in items if item.name == name), None)


@register.inclusion_tag("ui/_sortable.html", takes_context=True)
def sortable(context: template.Context, field: str, label: Any, kind: str = "") -> dict[str, Any]:
    """A column's header that sorts by `?ordering=field`, and backwards when pressed again. `kind`: further classes.

    `ordering` in the context says what holds when the address says nothing.
    """
    request: HttpRequest = context["request"]
    now = request.GET.get("ordering") or context.get("ordering") or ""
    values = request.GET.copy()
    for name in ("page", "cursor", "project"):
        values.pop(name, None)
    values["ordering"] = f"-{field}" if now == field else field
    direction = {field: "ascending", f"-{field}": "descending"}.get(now, "")
    return {"label": label, "url": f"?{values.urlencode()}", "direction": direction, "kind": kind}


@register.simple_block_tag(takes_context=True)
def card(context: template.Context, content: str, title: Any = "", symbol: str = "", more: str = "",
         more_label: Any = "", kind: str = "", bare: str = "") -> SafeString:
    """A card around the block: `{% card title=_("Network") symbol="network" %}…{% endcard %}`.

    `more` and `more_label` put a link at the end of its head; `bare="1"` leaves the padding to the content (tables).
    """
    return _drawn(context, "ui/_card.html", content=content, title=title, symbol=symbol, more=more,
                  more_label=more_label, kind=kind, bare=bare)


@register.simple_block_tag(takes_context=True)
def fact(context: template.Context, content: str, label: Any = "") -> SafeString:
    """One line of a facts list: `<dl class="facts">{% fact _("Image") %}…{% endfact %}</dl>`; a dash when empty."""
    return _drawn(context, "ui/_fact.html", content=mark_safe(content.strip()), label=label)


@register.simple_block_tag(takes_context=True)
def why(context: template.Context, content: str, reason: Any = "") -> SafeString:
    """A note that opens on hover, focus and touch: `{% why _("The reason") %}what it is about{% endwhy %}`."""
    return _drawn(context, "ui/_why.html", content=mark_safe(content.strip()), reason=reason)


@register.filter
def page_of(resource: Resource | None) -> str:
    """The address of the resource's page; empty for one that is gone or has none."""
    return (resource_page(resource) or "") if resource is not None and resource.deleted_at is None else ""


@register.filter
def about(seconds: int) -> str:
    """A guess in words: seconds up to a minute and a half, then minutes."""
    if seconds < 90:
        return ngettext("about %(count)s second", "about %(count)s seconds", max(1, seconds)) % {"count": max(1, seconds)}
    minutes = round(seconds / 60)
    return ngettext("about %(count)s minute", "about %(count)s minutes", minutes) % {"count": minutes}


@register.filter
def code_id(text: Any) -> str:
    """A stable id out of a text, for labels and targets."""
    return slugify(escape(str(text))) or "code"


def _drawn(context: template.Context, name: str, **values: Any) -> SafeString:
    return context.template.engine.get_template(name).render(context.new(values))
