"""The documentation: Markdown files in portal/docs/<language>/, shown at /docs/ and readable where they lie.

A file is `<guide>-<page>.md`; its first line is its title. Links to other files and to screens (`screens/<name>.jpg`) are
relative, so that they work in a checkout too. A fenced block named after an entry of `GENERATED` is replaced by what the
portal itself knows: tables that never go stale.
"""
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import slugify
from django.utils.translation import get_language, gettext, override
from django.utils.translation import gettext_lazy as _
from markdown_it import MarkdownIt
from markdown_it.token import Token

from billing.exports.described import described
from portal.kernel.errors import NotFound, classes_by_code

ROOT = Path(__file__).resolve().parent / "docs"
LANGUAGES = {"en": "en", "zh-hans": "zh"}
"""Django's language → the directory of its files."""


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A book for one kind of reader; its pages in reading order."""

    name: str
    title: Any
    icon: str
    pages: tuple[str, ...]


GUIDES = (
    Guide(name="tenant", title=_("Using Mains"), icon="rocket",
          pages=("first-instance", "instances", "networks", "volumes", "billing", "projects")),
    Guide(name="api", title=_("Programs and command line"), icon="terminal-2",
          pages=("start", "conventions", "webhooks", "errors", "cli")),
    Guide(name="operator", title=_("Running a cloud"), icon="tool",
          pages=("start", "hosts", "daily", "deployment", "backup", "upgrade")),
)


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One page of a guide in one language. `headings` are (anchor, text) of its sections; `text` is what search looks in."""

    guide: Guide
    page: str
    language: str
    title: str
    html: str
    headings: tuple[tuple[str, str], ...]
    text: str

    @property
    def url(self) -> str:
        return reverse("docs:page", args=[self.guide.name, self.page])


def directory_of(language: str | None = None) -> str:
    """Where the reader's language lies; English for languages without files."""
    return LANGUAGES.get((language or get_language() or "en").lower(), "en")


def chapter(guide: str, page: str, language: str | None = None) -> Chapter:
    """One page, in the reader's language. Raises NotFound."""
    known = next((one for one in GUIDES if one.name == guide and page in one.pages), None)
    if known is None:
        raise NotFound
    return _read(known, page, directory_of(language))


def chapters(language: str | None = None) -> Iterator[Chapter]:
    """All pages in reading order."""
    return (_read(guide, page, directory_of(language)) for guide in GUIDES for page in guide.pages)


def found(words: str, limit: int = 5) -> list[Chapter]:
    """Pages that hold every word; those that say it in their title come first."""
    wanted = words.casefold().split()
    hits = [one for one in chapters() if wanted and all(word in one.text for word in wanted)]
    return sorted(hits, key=lambda one: not all(word in one.title.casefold() for word in wanted))[:limit]


@cache
def _read(guide: Guide, page: str, language: str) -> Chapter:
    source = (ROOT / language / f"{guide.name}-{page}.md").read_text(encoding="utf-8")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(source)
    title = tokens[1].content
    headings = tuple(_anchored(tokens))
    _point_links(tokens, language)
    with override(next(code for code, directory in LANGUAGES.items() if directory == language)):
        html = "".join(_generated(token) or markdown.renderer.render([token], markdown.options, {}) for token in tokens[3:])
    return Chapter(guide=guide, page=page, language=language, title=title, html=html, headings=headings,
                   text=re.sub(r"\s+", " ", source).casefold())


def _anchored(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Give every section an anchor, and tell them."""
    for opening, inside in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag in ("h2", "h3"):
            opening.attrSet("id", slugify(inside.content, allow_unicode=True))
            if opening.tag == "h2":
                yield str(opening.attrs["id"]), inside.content


def _point_links(tokens: Sequence[Token], language: str) -> None:
    """From what works in a checkout to what works here."""
    for token in (inner for block in tokens for inner in block.children or ()):
        if token.type == "image":
            token.attrSet("src", _picture(f"docs/{language}/{token.attrs['src']}"))
            token.attrSet("loading", "lazy")
        elif token.type == "link_open":
            file, _hash, anchor = str(token.attrs["href"]).partition("#")
            if match := re.fullmatch(r"([a-z]+)-([a-z-]+)\.md", file):
                token.attrSet("href", reverse("docs:page", args=match.groups()) + (f"#{anchor}" if anchor else ""))


def _picture(path: str) -> str:
    """Its address; the plain one of a picture that has not been taken yet, so that a page or a search never fails for it."""
    try:
        return static(path)
    except ValueError:
        return f"{settings.STATIC_URL}{path}"


def _generated(token: Token) -> str | None:
    maker = GENERATED.get(token.info.strip()) if token.type == "fence" else None
    return maker() if maker else None


def _errors() -> str:
    """Every error that the portal can answer: its code, its status, what it means."""
    declared = sorted(classes_by_code().values(), key=lambda one: (one.status, one.code))
    rows = [(one.code, one.status, one.title, re.sub(r"{(\w+)}", r"‹\1›", str(one.text))) for one in declared]
    return render_to_string("docs/_errors.html", {"rows": rows})


def _address() -> str:
    """Where this portal is: what programs begin with."""
    return render_to_string("docs/_address.html", {"url": settings.SITE_URL})


def _commands() -> str:
    """The way to the reference that the command line tells of itself."""
    label = gettext("Every command and its options")
    return format_html('<p><a class="btn" href="{}">{}</a></p>', reverse("cli:commands"), label)


def _export_columns() -> str:
    """Which columns files of the books have, from the table that their writers go by."""
    return render_to_string("docs/_export_columns.html", {"tables": list(described())})


GENERATED: dict[str, Callable[[], str]] = {"mains-errors": _errors, "mains-address": _address, "mains-commands": _commands,
                                          "mains-export-columns": _export_columns}
