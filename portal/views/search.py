"""The palette's results, and the same as a page with an address."""
from django.http import HttpRequest, HttpResponse

from portal import palette
from portal.kernel.pages import fragment
from portal.search import LIMIT, LONGEST, MOST, find
from tenants.pages import page


@page()
def search(request: HttpRequest) -> HttpResponse:
    """`?q=`: what can be done, projects, and resources; for htmx the palette's list only."""
    text = request.GET.get("q", "").replace("\x00", "").strip()[:LONGEST]
    limit = LIMIT if request.htmx else MOST
    found = [one for one in find(request.user, text, limit) if one.url]
    return fragment(request, "portal/search.html", "portal/_palette.html", text=text, found=found,
                    actions=[*palette.actions(request, text), *palette.documents(text)],
                    projects=palette.projects(request, text))
