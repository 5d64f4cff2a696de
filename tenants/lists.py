"""The one list page: a room declares a `Listing`, and gets filters, sorting, pages, CSV and verbs on many rows.

    class VolumeList(Listing):
        name, url_name, row_template = "volumes", "volumes:list", "storage/_volume_row.html"
        title, live = _("Volumes"), "volume"
        columns = (ID, NAME, STATE, Column(label=_("Class"), value=lambda line: line.row.pool_class), CREATED)
        filters = (BY_NAME, states(Volume.State.choices, "deleted"), BY_TAG)

        def rows(self) -> QuerySet:
            return narrow(self.request, Volume.objects.visible_to(self.request.user)).select_related(...)

    @page("volume.view")
    def listing(request): return VolumeList(request).answer()

`?<filter>=`, `?ordering=name` or `-name`, `?cursor=`, `?format=csv`, and `?rows=` a page, which the browser remembers. An order
names a field that an index serves.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import get_language, gettext_lazy

from portal.kernel.lists import Choice, Column, Empty, Filter, Keys, RowChoice, Tags, Text, export, keys, row_choices
from portal.kernel.models import Region
from portal.kernel.pages import fragment, is_fragment
from portal.kernel.states import label_of
from tenants.bulk import BulkVerb
from tenants.models import Project
from tenants.scope import current_project

ROWS_A_PAGE = (25, 50, 100)
"""What a reader may choose from; the first unless they do."""
REMEMBERED_S = 365 * 86400
# Beyond this a list says "more than": counting all would cost what the page does not.
COUNTED = 500
NOT_FILTERS = ("project", "cursor", "format", "more", "rows")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row as it is drawn: `item` is what the row template reads."""

    pk: Any
    row: Any
    item: Any
    name: str


@dataclass(frozen=True, kw_only=True)
class Control:
    """A filter as the form shows it."""

    filter: Filter
    values: list[str]
    choices: Sequence[tuple[str, Any]]

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A column's heading: which way it sorts now, and the address that sorts by it (or the other way round)."""

    column: Column
    direction: str
    url: str


ID = Column(label=gettext_lazy("Id"), value=lambda line: line.pk, only_in_csv=True)
NAME = Column(label=gettext_lazy("Name"), sort="name", value=lambda line: line.row.name)
STATE = Column(label=gettext_lazy("State"), value=lambda line: label_of(line.row))
PROJECT = Column(label=gettext_lazy("Project"), kind="wide-only", for_all_projects=True, value=lambda line: line.row.project.name)
REGION = Column(label=gettext_lazy("Location"), kind="wide-only extra", value=lambda line: line.row.region.name)
CREATED = Column(label=gettext_lazy("Created"), sort="created_at", kind="wide-only", value=lambda line: line.row.created_at)
TAGS = Column(label=gettext_lazy("Tags"), only_in_csv=True, value=lambda line: tags_text(line.row.tags))
BY_NAME = Text(name="name", label=gettext_lazy("Name contains …"))
BY_TAG = Tags(name="tag", label=gettext_lazy("Tag"), is_extra=True)
BY_REGION = RowChoice(name="region", label=gettext_lazy("Region"), is_extra=True,
                      rows=lambda user: Region.objects.all())


def tags_text(tags: dict[str, str]) -> str:
    """`env:prod role:web`, as filters take them."""
    return " ".join(f"{key}:{value}" if value else key for key, value in sorted(tags.items()))


def states(choices: Sequence[tuple[str, Any]], *gone: str) -> Choice:
    """The filter by state, without those that no listed row is in."""
    return Choice(name="state", label=gettext_lazy("State"), choices=[one for one in choices if one[0] not in gone])


class Listing:
    """One list page for one request. Subclasses declare what is above the line and say which rows there are."""

    name: ClassVar[str]
    """The element's id and the file's name."""
    url_name: ClassVar[str]
    title: ClassVar[Any]
    live: ClassVar[str] = ""
    """Kinds whose events fetch it again; the first is the rows' own, unless the list polls."""
    row_template: ClassVar[str]
    head_template: ClassVar[str] = ""
    """What stands above the rows, and where there are none."""
    page_template: ClassVar[str] = "lists/page.html"
    columns: ClassVar[tuple[Column, ...]]
    filters: ClassVar[tuple[Filter, ...]] = ()
    verbs: ClassVar[tuple[BulkVerb, ...]] = ()
    ordering: ClassVar[str] = "-created_at"
    empty: ClassVar[Empty]
    create: ClassVar[Empty | None] = None
    """Whose button stands beside the title; `empty`'s when not given."""
    polls: ClassVar[bool] = False
    """Whether it is fetched again without events too: what hosts last said has none."""
    has_actions: ClassVar[bool] = False
    """Whether each row ends in a cell of buttons."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.user: Any = request.user
        self.query: QueryDict = request.GET if request.method in ("GET", "HEAD") else QueryDict()

    # ---- for subclasses ----

    def rows(self) -> QuerySet:
        """All rows that the user may see here, with what their lines need selected."""
        raise NotImplementedError

    def read(self, pks: Sequence[Any]) -> Iterable[Any]:
        """The rows of a page, in any order; the keys were found among `rows` by this request."""
        return self.rows().filter(pk__in=pks)

    def items(self, rows: list[Any]) -> list[Any]:
        """What the row template and the CSV read of each row; a fixed number of statements."""
        return rows

    def is_changing(self, row: Any) -> bool:
        """Whether something is under way: pages without a script fetch themselves again meanwhile."""
        return bool(getattr(row, "in_flight", False))

    def name_of(self, row: Any) -> str:
        return str(row)

    def user_filters(self) -> tuple[Filter, ...]:
        """Those that this user is offered."""
        return self.filters

    # -------------------------

    def answer(self, *, status: int = 200, **context: object) -> HttpResponse:
        """The page, its live part, or the file."""
        if self.query.get("format") == "csv":
            return export.answer(self.name, [column.label for column in self.exported], self._batch)
        if (changed := self._changed_rows()) is not None:
            return changed
        response = fragment(self.request, self.page_template, "lists/_list.html", list=self, ordering=self.ordering,
                            in_flight=any(self.is_changing(line.row) for line in self.lines), **context)
        response.status_code = status
        if self.query.get("rows") == str(self.size):
            response.set_cookie("rows", self.size, max_age=REMEMBERED_S, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE,
                                httponly=True)
        return response

    def _changed_rows(self) -> HttpResponse | None:
        """Only the rows that a live page names in `Live-Rows`; None when more of what it shows has changed than these.

        They are found by the same statements as the page, so that filters and rights are the same too.
        """
        named = set(self.request.headers.get("Live-Rows", "").split())
        if not named or not is_fragment(self.request) or self.request.headers.get("Live-Frame") != self.frame:
            return None
        pks = tuple(pk for pk in self.keys.pks if str(pk) in named)
        lines = self._lines(replace(self.keys, pks=pks))
        if len(lines) < len(pks):  # gone between two statements
            return None
        response = render(self.request, "lists/_rows.html", {"list": self, "lines": lines, "is_alone": True}) if lines else (
            HttpResponse(status=204))
        response["HX-Reswap"], response["Cache-Control"], response["Vary"] = "none", "no-store", "HX-Request"
        return response

    @property
    def own_kind(self) -> str:
        """The kind whose events name rows of this list; empty where they are no reason to leave the others alone."""
        return "" if self.polls or not self.live else self.live.split()[0]

    @cached_property
    def frame(self) -> str:
        """A mark of all that is drawn beside the contents of rows: which rows there are, in which order, between which pages."""
        parts = (get_language(), self.here, self.project and self.project.pk, self.keys,
                 [verb["value"] for verb in self.offered])
        return blake2b(repr(parts).encode(), digest_size=9).hexdigest()

    @property
    def row_id(self) -> str:
        """What each row's own id begins with: live updates know rows by it."""
        return self.name.removesuffix("s")

    @cached_property
    def address(self) -> str:
        return reverse(self.url_name)

    @cached_property
    def here(self) -> str:
        """This very page of the list, to be fetched again."""
        return self._with(cursor=self.query.get("cursor"), more=self.query.get("more"))

    @cached_property
    def project(self) -> Project | None:
        return current_project(self.request)

    # ---- filters and order ----

    @cached_property
    def chosen(self) -> dict[str, list[str]]:
        """Filter → its values, for those that are set."""
        found = {one.name: one.read(self.query.getlist(one.name)) for one in self.user_filters()}
        return {name: values for name, values in found.items() if values}

    @cached_property
    def sorted_by(self) -> str:
        wanted = self.query.get("ordering", "")
        known = {column.sort for column in self.columns if column.sort} | {self.ordering.lstrip("-")}
        return wanted if wanted.removeprefix("-") in known else self.ordering

    @property
    def is_filtered(self) -> bool:
        return bool(self.chosen)

    @cached_property
    def matching(self) -> QuerySet:
        """The rows that the filters leave."""
        condition = Q()
        for one in self.user_filters():
            for value in self.chosen.get(one.name, ()):
                condition &= one.condition(value)
        return self.rows().filter(condition)

    @cached_property
    def controls(self) -> list[Control]:
        """The form's filters; the choices of those that are folded away are read only when they are shown."""
        filters = [one for one in self.user_filters() if self.is_unfolded or not one.is_extra]
        looked_up = row_choices(filters, self.user)
        return [Control(filter=one, values=self.chosen.get(one.name, []),
                        choices=looked_up.get(one.name) or getattr(one, "choices", ())) for one in filters]

    @property
    def plain_controls(self) -> list[Control]:
        return [control for control in self.controls if not control.filter.is_extra]

    @property
    def extra_controls(self) -> list[Control]:
        return [control for control in self.controls if control.filter.is_extra]

    @cached_property
    def is_unfolded(self) -> bool:
        """Whether the further filters are asked for (`?more=1`), or one of them is set."""
        return self.query.get("more") == "1" or any(one.is_extra and one.name in self.chosen for one in self.user_filters())

    @property
    def unfold(self) -> str:
        """The address that shows the further filters; empty where there are none."""
        return self._with(more="1") if any(one.is_extra for one in self.user_filters()) and not self.is_unfolded else ""

    @cached_property
    def chips(self) -> list[tuple[str, str]]:
        """What is filtered, each with the address that leaves it out."""
        return [(control.filter.words(value, control.choices), self._without(control.filter.name, value))
                for control in self.controls for value in control.values]

    @property
    def unfiltered(self) -> str:
        return self._address({"ordering": [self.sorted_by]} if self.sorted_by != self.ordering else {})

    @property
    def orders(self) -> list[tuple[str, Any, bool]]:
        """(`ordering`, heading, whether it descends), for screens without headings."""
        return [(sign + column.sort, column.label, bool(sign)) for column in self.columns if column.sort
                for sign in ("", "-")]

    # ---- rows ----

    @cached_property
    def size(self) -> int:
        """How many rows a page has: what this request or an earlier one chose."""
        wanted = self.query.get("rows") or self.request.COOKIES.get("rows")
        return next((size for size in ROWS_A_PAGE if str(size) == wanted), ROWS_A_PAGE[0])

    @property
    def sizes(self) -> list[tuple[int, str]]:
        """Sizes to choose from, each with its address; none where all rows fit on the smallest page."""
        is_short = self.is_counted and self.keys.seen <= ROWS_A_PAGE[0]
        return [] if is_short else [(size, self._with(rows=str(size))) for size in ROWS_A_PAGE]

    @cached_property
    def keys(self) -> Keys:
        cursor = self.query.get("cursor")
        return keys(self.matching, self.sorted_by, cursor, self.size, look_for=0 if cursor else COUNTED)

    @cached_property
    def lines(self) -> list[Line]:
        return self._lines(self.keys)

    def _lines(self, found: Keys) -> list[Line]:
        by_pk = {row.pk: row for row in self.read(found.pks)} if found.pks else {}
        rows = [by_pk[pk] for pk in found.pks if pk in by_pk]
        return [Line(pk=row.pk, row=row, item=item, name=self.name_of(row))
                for row, item in zip(rows, self.items(rows), strict=True)]

    @property
    def is_counted(self) -> bool:
        """Only the first page says how many there are: it looks a little further for it."""
        return not self.query.get("cursor")

    @property
    def is_countless(self) -> bool:
        return self.keys.seen > COUNTED

    @property
    def counted(self) -> int:
        return min(self.keys.seen, COUNTED)

    @property
    def first_page(self) -> str:
        return self._with()

    @property
    def next_page(self) -> str:
        return self._with(cursor=self.keys.next) if self.keys.next else ""

    @property
    def previous_page(self) -> str:
        return self._with(cursor=self.keys.previous) if self.keys.previous else ""

    @property
    def headings(self) -> list[Heading]:
        """Of the columns that are drawn."""
        return [self._heading(column) for column in self.columns
                if not column.only_in_csv and not (column.for_all_projects and self.project)]

    def _heading(self, column: Column) -> Heading:
        direction = {column.sort: "ascending", f"-{column.sort}": "descending"}.get(self.sorted_by, "") if column.sort else ""
        order = f"-{column.sort}" if direction == "ascending" else column.sort
        return Heading(column=column, direction=direction, url=self._with(ordering=order) if column.sort else "")

    # ---- file and verbs ----

    @property
    def exported(self) -> list[Column]:
        return [column for column in self.columns if column.value]

    @property
    def most_exported(self) -> int:
        return export.MOST_ROWS

    @property
    def file(self) -> str:
        return self._with(format="csv")

    def _batch(self, cursor: str | None, limit: int) -> tuple[Iterable[list[object]], str | None]:
        found = keys(self.matching.all(), self.sorted_by, cursor, limit)
        values = [column.value for column in self.exported if column.value]
        return [[value(line) for value in values] for line in self._lines(found)], found.next

    @cached_property
    def offered(self) -> list[dict[str, Any]]:
        """The verbs that the user may use somewhere, as the bar of the selection shows them."""
        return [{"value": verb.name, "label": verb.label, "symbol": verb.icon,
                 "tone": "bad" if verb.is_bad or verb.is_dangerous else "", "url": f"{self.address}bulk/{verb.name}/"}
                for verb in self.verbs if self.user.grants.may_anywhere(verb.permission)]

    @property
    def makes(self) -> Empty | None:
        """The button for something new, for people who may."""
        made = self.create or self.empty
        return made if made.url_name and (not made.permission or self.user.grants.may_anywhere(made.permission)) else None

    # ---- addresses ----

    def _with(self, **further: str | None) -> str:
        values = {name: self.query.getlist(name) for name in self.query if name not in NOT_FILTERS}
        values |= {name: [value] for name, value in further.items() if value}
        return self._address(values)

    def _without(self, name: str, value: str) -> str:
        values = {one: [text for text in self.query.getlist(one) if (one, text.strip()) != (name, value)]
                  for one in self.query if one not in NOT_FILTERS}
        return self._address(values)

    def _address(self, values: dict[str, list[str]]) -> str:
        query = QueryDict(mutable=True)
        for name, texts in values.items():
            if any(texts):
                query.setlist(name, [text for text in texts if text])
        return f"{self.address}?{query.urlencode()}" if query else self.address
