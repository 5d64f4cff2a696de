"""Ids and names in the addresses of pages, their tabs and their CSV files: whoever names what is hidden from them is answered as
if it did not exist. The API's are in test_ids_in_queries.py.

Which parameters a page has is what it reads of `request.GET` while it is drawn: a new one is in it by itself.
"""
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.db import transaction
from django.db.models import Model
from django.http import QueryDict

from compute.instances.views import creating
from portal.kernel.lists import Exact, RowChoice
from portal.kernel.rest.rights import STAFF
from tenants.lists import Listing
from tenants.models import Organization, Project, User
from tests.portal.routes import Route
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import FORMS, PAGE_MODELS, address, model_of
from tests.portal.test_ids_in_queries import HIDDEN_NAME, NOBODYS_NAME, WHO, Asked, hidden_from, masked_text, named
from tests.portal.test_more_principals import add_principals, text_of
from tests.portal.test_permission_matrix import PAGES, client_of

READING = [route for route in PAGES if route.method == "GET" and route.permission != STAFF]
HOW = {"ordering", "rows", "more", "format", "tab", "part", "page", "month", "lang", "theme"}
"""Parameters that say how something is shown, and name nothing."""
WHOLE = "all of it"
READ_WHOLE = {"instances:create": "instances:create.POST"}
"""Pages that take the whole address as what is chosen beforehand, and the example form that says what that can be."""


class Noted(QueryDict):
    """A query that notes what is read of it: by `reads` single values, by `lists` all of a name."""

    reads: set[str] | None = None
    lists_read: set[str] | None = None

    def _note(self, where: set[str] | None, name: str) -> None:
        if where is not None:
            where.add(name)

    def __getitem__(self, name: str) -> Any:
        self._note(self.reads, name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._note(self.reads, str(name))
        return super().__contains__(name)

    def getlist(self, name: str, default: Any = None) -> list[str]:
        self._note(self.lists_read, name)
        return super().getlist(name, default)

    def dict(self) -> dict[str, Any]:
        self._note(self.reads, WHOLE)
        return super().dict()

    def items(self) -> Iterator[tuple[str, Any]]:
        self._note(self.reads, WHOLE)
        return super().items()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page or one tab of it, with the parameters that it read."""

    route: Route
    tab: str = ""
    reads: set[str] = field(default_factory=set)
    filters: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.route.name} {self.tab}".strip()


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        add_principals(scene.cast)
        for who in WHO:  # outside of what is rolled back
            client_of(scene, who, is_api=False)
        yield scene


@pytest.fixture(scope="module")
def pages(scene: Scene) -> list[Page]:
    """Every page as alice sees it, and every tab that it links to."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for route in READING:
            page = Page(route=route)
            text = noted(scene, page, patch)
            found.append(page)
            for tab in sorted(set(re.findall(r"[?&;]tab=(\w+)", text))) if "tab" in page.reads else ():
                other = Page(route=route, tab=tab)
                noted(scene, other, patch)
                if other.reads - page.reads or other.filters - page.filters:
                    found.append(other)
    return found


def noted(scene: Scene, page: Page, patch: pytest.MonkeyPatch) -> str:
    """Draw it, whole and as a fragment, and note what is read; the whole page's text."""
    def query_of(request: WSGIRequest) -> Noted:
        if "_noted" not in request.__dict__:
            made = request.__dict__["_noted"] = Noted(request.META.get("QUERY_STRING", ""))
            made.reads, made.lists_read = page.reads, page.filters
        return request.__dict__["_noted"]

    patch.setattr(WSGIRequest, "GET", property(query_of))
    query = {"tab": [page.tab]} if page.tab else {}
    answer(scene, page.route, "alice", query, headers={"HX-Request": "true"})
    text = answer(scene, page.route, "alice", query)[1]
    patch.undo()
    return text


def answer(scene: Scene, route: Route, who: str, query: dict[str, list[str]], **options: Any) -> tuple[int, str]:
    """The status, and the text with where it leads."""
    client = client_of(scene, who, is_api=False)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    with transaction.atomic():
        response = client.get(address(route, pk), query, **options)
        transaction.set_rollback(True)
    client.cookies.pop("messages", None)
    return response.status_code, f"{response.headers.get('Location', '')} {text_of(response)}"


def listings(cls: type[Listing] = Listing) -> Iterator[type[Listing]]:
    for one in cls.__subclasses__():
        yield one
        yield from listings(one)


def kinds_of_filters(scene: Scene, every: Iterable[type[Model]]) -> dict[str, set[type[Model]]]:
    """Filter → whose ids it may be given: rows to choose from, or, where a whole value is compared, any."""
    found: dict[str, set[type[Model]]] = {}
    for one in (one for listing in listings() for one in listing.filters):
        if isinstance(one, RowChoice):
            found.setdefault(one.name, set()).add(one.rows(scene.cast.alice).model)
        elif isinstance(one, Exact):
            found.setdefault(one.name, set()).update(every)
    return found


def fields_of(scene: Scene, page: Page) -> dict[str, type[Model]]:
    """Of a page that reads the whole address: the fields that take an id, and of what."""
    form = FORMS[READ_WHOLE[page.route.name]](scene) if WHOLE in page.reads else {}
    return {name: model for name, value in form.items() for model, row in scene.ours.items() if value == str(row.pk)}


def questions(scene: Scene, page: Page, hidden: dict[type[Model], Any], *, with_names: bool) -> Iterator[Asked]:
    def by_id(name: str, models: Iterable[type[Model]]) -> Iterator[Asked]:
        for model in models:
            if model in hidden:
                yield Asked(name=name, hidden=[str(hidden[model].pk)], absent=[str(uuid.uuid4())])

    own = PAGE_MODELS.get(page.route.name.partition(":")[0], Project)
    for name, model in fields_of(scene, page).items():
        yield from by_id(name, [model])
    kinds = kinds_of_filters(scene, hidden)
    for name in sorted(page.filters):
        yield from by_id(name, kinds.get(name, ()))
        if with_names and name not in kinds:
            yield Asked(name=name, hidden=[HIDDEN_NAME], absent=[NOBODYS_NAME])
    for name in sorted(page.reads - page.filters - HOW - {WHOLE}):
        if name == "project":
            yield from by_id(name, [Project])
        elif name == "cursor":
            yield from by_id(name, [own])
        else:
            yield from by_id(name, dict.fromkeys((own, Project, Organization, User)))
            yield Asked(name=name, hidden=[HIDDEN_NAME], absent=[NOBODYS_NAME])


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_every_page_was_read_and_reads_what_it_is_known_for(pages: list[Page]) -> None:
    read = {str(page): page.reads | page.filters for page in pages}
    assert {page.route.name for page in pages} == {route.name for route in READING}
    assert "before" in read["instances:detail timeline"] and "target" in read["audit:list"]
    assert {"scope", "resource", "region"} <= read["quota_requests:create"] and "parent" in read["projects:create"]
    assert sum("project" in one for one in read.values()) > 50
    assert {page.route.name for page in pages if WHOLE in page.reads} <= READ_WHOLE.keys()


@pytest.mark.parametrize("who", WHO)
def test_what_is_hidden_is_in_an_address_as_what_is_absent(scene: Scene, pages: list[Page], who: str,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creating, "suggested_name", lambda: "new")  # which is another each time
    wrong, asked = [], 0
    hidden = hidden_from(scene, who)
    with transaction.atomic():
        named(scene, who)
        for page in pages:
            for one in questions(scene, page, hidden, with_names=who == WHO[0]):
                also = {"tab": [page.tab]} if page.tab else {}
                has_file = "format" in page.reads and one.name in page.filters
                for file in ({}, {"format": ["csv"]}) if has_file else ({},):
                    theirs, nobodys = (answer(scene, page.route, who, also | file | {one.name: values})
                                       for values in (one.hidden, one.absent))
                    asked += 1
                    if (theirs[0], masked_text(theirs[1])) != (nobodys[0], masked_text(nobodys[1])):
                        wrong.append((str(page), one.name, one.hidden, file, theirs[0], nobodys[0]))
        transaction.set_rollback(True)
    assert wrong == []
    assert asked > (250 if who == WHO[0] else 100)


@pytest.mark.parametrize(("name", "parameter", "model"), [
    ("instances:list", "project", Project), ("projects:create", "parent", Project), ("quota_requests:create", "scope", Project),
    ("audit:list", "actor", User), ("quota_requests:create", "scope", Organization)])
def test_what_is_ours_is_answered_otherwise(scene: Scene, name: str, parameter: str, model: type[Model]) -> None:
    """Or nothing above would tell anything."""
    route = next(one for one in READING if one.name == name)
    row = scene.cast.alice if model is User else scene.ours[model]
    ours, nobodys = (answer(scene, route, "alice", {parameter: [str(pk)]}) for pk in (row.pk, uuid.uuid4()))
    assert (ours[0], masked_text(ours[1])) != (nobodys[0], masked_text(nobodys[1]))
