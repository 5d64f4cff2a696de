"""Every address of the site with what it declares, read from the URL resolver and from the ASGI router."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver

from portal.kernel.rest.views import RoomViewSet

# Other people's pages, and the documentation: they show no tenant's data, and ask nothing of our access.
FOREIGN = ("accounts/", "i18n/", "admin/", "static/", "__debug__/", "docs/")
# Ours, and meant for everybody: the schema, its docs page and the API's own 404.
OPEN_API = frozenset({"api-schema", "api-docs", "api-not-found"})
# Ours, and meant for everybody: what a supervisor or a scraper asks. `details` are refused by their own test.
OPEN_PAGES = frozenset({"livez", "readyz", "metrics", "payments:told"})
# Ours, and meant for whoever has a link that we signed: tests/billing/test_exports.py bends it.
OPEN_LINKS = frozenset({"exports:download"})


@dataclass(frozen=True)
class Route:
    """One method on one address."""

    path: str
    name: str
    method: str
    permission: str | None
    view: Any
    action: str = ""

    @property
    def is_api(self) -> bool:
        return self.path.startswith("api/")

    @property
    def takes_an_id(self) -> bool:
        return "<" in self.path or "(?P" in self.path

    @property
    def model(self) -> type[Model] | None:
        return self.view.queryset.model if self.is_api and self.action else None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Found = tuple[str, str, URLPattern]


def patterns(resolver: URLResolver | None = None, prefix: str = "", space: str = "") -> Iterator[Found]:
    """Path, full name and pattern of everything that the resolver knows."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, path, f"{space}{entry.namespace}:" if entry.namespace else space)
        else:
            yield path, f"{space}{entry.name or ''}", entry


def routes() -> list[Route]:
    """All of ours; a route without a declaration has no permission."""
    found = []
    for path, name, pattern in patterns():
        if path.startswith(FOREIGN) or name in OPEN_API | OPEN_PAGES | OPEN_LINKS:
            continue
        view = pattern.callback
        actions = getattr(view, "actions", None)
        if actions is not None:
            cls = view.cls
            declared = cls.permissions if issubclass(cls, RoomViewSet) else {}
            found += [Route(path, name, method.upper(), declared.get(action), cls, action)
                      for method, action in actions.items() if method != "head"]
        else:
            found += [Route(path, name, method, getattr(view, "permission", None), view)
                      for method in getattr(view, "methods", ("GET",)) if method != "HEAD"]
    return found
