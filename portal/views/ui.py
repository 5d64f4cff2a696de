"""The design system's page: every component of `templates/ui/`, in both languages and both themes at once.

A component that is not on it does not exist: a test compares the folder with what this page has drawn.
"""
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.forms import CharField, CheckboxSelectMultiple, ChoiceField, Form, MultipleChoiceField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, override
from django.utils.translation import gettext as _

from billing.money import Money
from tenants.pages import page

THEMES = ("light", "dark")


class Example(Form):
    """A form with something wrong in it."""

    name = CharField(label=gettext_lazy("Name"), help_text=gettext_lazy("Up to 100 characters."))
    zone = ChoiceField(label=gettext_lazy("Zone"), choices=[("a", "A"), ("b", "B")])
    groups = MultipleChoiceField(label=gettext_lazy("Security groups"), choices=[("web", "web"), ("db", "db")],
                                 widget=CheckboxSelectMultiple, required=False)


@page()
def show(request: HttpRequest) -> HttpResponse:
    """All panels; `?lang=` and `?theme=` choose one language or theme."""
    languages = _chosen(request, "lang", [code for code, _name in settings.LANGUAGES])
    themes = _chosen(request, "theme", list(THEMES))
    panels = [_panel(request, language, theme) for language in languages for theme in themes]
    return render(request, "portal/ui.html", {
        "panels": panels, "languages_shown": settings.LANGUAGES, "themes": THEMES,
        "lang": request.GET.get("lang", ""), "shown_theme": request.GET.get("theme", "")})


def _chosen(request: HttpRequest, name: str, every: list[str]) -> list[str]:
    asked = request.GET.get(name)
    return [asked] if asked in every else every


def _panel(request: HttpRequest, language: str, theme: str) -> dict[str, Any]:
    with override(language):
        content = render_to_string("portal/_ui.html", _examples(f"{language}-{theme}"), request=request)
        return {"language": get_language(), "theme": theme, "content": content,
                "name": dict(settings.LANGUAGES)[language]}


def _examples(prefix: str) -> dict[str, Any]:
    """What the components are drawn with; texts in the language of the panel."""
    now = timezone.now()
    form = Example({"name": "", "zone": "a", "groups": ["web"]}, auto_id=f"{prefix}-%s")
    form.is_valid()
    pages = Paginator(range(95), 20)
    return {
        "prefix": prefix, "form": form, "drained": {"draining_since": now, "reason": ""},
        "page": pages.page(2), "id": "5f0c2c1e-5f4e-4f0e-9a43-3f8d6a1b2c3d",
        "hourly": Money(Decimal("0.0342"), "CNY"), "monthly": Money(Decimal("24.97"), "CNY"),
        "states": [("ok", _("Running")), ("busy", _("Starting")), ("warn", _("Degraded")), ("bad", _("Error")),
                   ("off", _("Stopped"))],
        "tabs": [("overview", _("Overview")), ("network", _("Network"), 2), ("events", _("Events"))], "tab": "overview",
        "crumb_trail": [(_("Compute"), ""), (_("Instances"), "#"), ("Acme", ""), ("shop", "#")],
        "chips": [(f"{_('State')}: {_('Running')}", "#"), (f"{_('Name')}: web", "#")],
        "actions": [{"value": "start", "label": _("Start"), "symbol": "player-play"},
                    {"value": "delete", "label": _("Delete"), "symbol": "trash", "tone": "bad"}],
        "events": [{"at": now - timedelta(minutes=2), "title": _("Started"), "who": "alice", "tone": "ok"},
                   {"at": now - timedelta(minutes=9), "title": _("Create instance"), "who": "alice", "tone": "busy",
                    "text": "web-1"},
                   {"at": now - timedelta(hours=3), "title": _("Error"), "tone": "bad", "note": _("the portal")}],
        "codes": [("curl", "curl", "curl -X POST /api/v1/instances/"), ("python", "Python", "import requests"),
                  ("cli", "CLI", "mains instances create")],
        "heat": [(level, f"host-{level}", f"{level * 10} %") for level in range(0, 11, 2)],
        "quota": [{"resource": "instances", "used": 3, "wanted": 1, "limit": 10, "fits": True},
                  {"resource": "vcpus", "used": 7, "wanted": 4, "limit": 10, "fits": False}],
    }
