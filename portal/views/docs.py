"""The documentation's pages: for everybody, signed in or not."""
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal import manual
from tenants.pages import page as declared


@declared(public=True)
def index(request: HttpRequest) -> HttpResponse:
    """All guides; `?q=` narrows to the pages that say it."""
    words = request.GET.get("q", "").replace("\0", "").strip()[:100]
    return render(request, "docs/index.html", {
        "guides": [(guide, [manual.chapter(guide.name, name) for name in guide.pages]) for guide in manual.GUIDES],
        "words": words, "found": manual.found(words, limit=20) if words else [], "layout": _layout(request)})


@declared(public=True)
def guide(request: HttpRequest, guide: str) -> HttpResponse:
    """A guide is its first page."""
    first = next((one.pages[0] for one in manual.GUIDES if one.name == guide), "")
    manual.chapter(guide, first)
    return redirect(reverse("docs:page", args=[guide, first]))


@declared(public=True)
def page(request: HttpRequest, guide: str, page: str) -> HttpResponse:
    """One page, with its guide's contents beside it."""
    chapter = manual.chapter(guide, page)
    pages = [manual.chapter(guide, name) for name in chapter.guide.pages]
    here = pages.index(chapter)
    trail = [(_("Documentation"), reverse("docs:index")), (chapter.guide.title, reverse("docs:guide", args=[guide]))]
    return render(request, "docs/page.html", {
        "trail": trail, "chapter": chapter, "pages": pages, "guides": manual.GUIDES, "layout": _layout(request),
        "before": pages[here - 1] if here else None, "after": pages[here + 1] if here + 1 < len(pages) else None})


def _layout(request: HttpRequest) -> str:
    return "base.html" if request.user.is_authenticated else "docs/public.html"
