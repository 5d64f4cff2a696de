"""Operators' reports in admin: revenue and margin, receivables, what is unbilled, a month under another book; each also as CSV.
Of what closing a month would bill, the page closes it too, for whoever may change invoices.

What is added up is `billing.reports`'; here it becomes tables. Whoever may look at invoices by Django's permissions may look.
"""
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from billing import closing, issuing, reports
from billing.models import Issuer, PriceBook
from billing.money import Money, plain, together
from billing.periods import Month
from billing.reports.receivables import AGES
from billing.reports.revenue import WORDS, Group
from billing.reports.usage import label_of
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.lists.export import answer
from portal.kernel.remembered import remembered
from portal.kernel.states import database_now
from tenants.models import Organization

MONTHS_OFFERED, MOST_SHOWN = 24, 100
CLOSES_FOR_S = 20
"""So long one request begins to close; what is left is closed by the next one."""
NOTHING = _("Nothing.")
MAY_CLOSE = "billing.change_invoice"
PAGES = {"revenue": _("Revenue"), "receivables": _("Receivables"), "unbilled": _("Unbilled usage"),
         "closing": _("Close a month"), "preview": _("A month under another book")}


@dataclass(frozen=True)
class Share:
    """So many percent."""

    percent: Decimal | None


@dataclass(frozen=True)
class Sums:
    """Amounts in different currencies, beside each other."""

    amounts: Iterable[Money]


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere."""

    text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a page shows, and a file says with all digits and rows."""

    title: Any
    heading: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    note: Any = ""
    empty: Any = NOTHING

    @property
    def lines(self) -> list[list[dict[str, Any]]]:
        return [[_cell(value) for value in row] for row in self.rows[:MOST_SHOWN]]

    @property
    def columns(self) -> list[tuple[Any, bool]]:
        """With whether they are numbers."""
        first = self.lines[0] if self.rows else []
        return [(label, number < len(first) and first[number].get("is_number", False))
                for number, label in enumerate(self.heading)]

    @property
    def is_cut(self) -> bool:
        return len(self.rows) > MOST_SHOWN

    def as_file(self, name: str) -> HttpResponse:
        def batch(cursor: str | None, limit: int) -> tuple[Iterable[Sequence[object]], str | None]:
            start = int(cursor or 0)
            part = [[_plain(value) for value in row] for row in self.rows[start:start + limit]]
            return part, str(start + limit) if start + limit < len(self.rows) else None

        return answer(name, [str(label) for label in self.heading], batch)


def _cell(value: Any) -> dict[str, Any]:
    """As a person reads it: to the cent, numbers on the right."""
    if isinstance(value, Decimal):
        return {"text": _cents(value), "is_number": True, "is_below": value < 0}
    if isinstance(value, Share):
        text = "–" if value.percent is None else f"{number_format(value.percent.quantize(Decimal('0.1')), 1)} %"
        return {"text": text, "is_number": True, "is_below": value.percent is not None and value.percent < 0}
    if isinstance(value, Sums):
        return {"text": ", ".join(f"{_cents(one.amount)} {one.currency}" for one in value.amounts) or "–", "is_number": True}
    if isinstance(value, Link):
        return {"text": value.text, "url": value.url}
    return {"text": "–" if value is None else str(value), "is_number": value is None}


def _cents(amount: Decimal) -> str:
    return number_format(amount.quantize(issuing.CENT, ROUND_HALF_UP), 2, force_grouping=True)


def _plain(value: Any) -> object:
    if isinstance(value, Share):
        return None if value.percent is None else value.percent.quantize(Decimal("0.01"))
    if isinstance(value, Sums):
        return ", ".join(f"{plain(money.amount)} {money.currency}" for money in value.amounts)
    return value.text if isinstance(value, Link) else value


# -- pages --

def pages() -> list[URLPattern]:
    """The addresses, below those of invoices in admin."""
    views = {"revenue": revenue, "receivables": receivables, "unbilled": unbilled, "closing": close, "preview": preview}
    return [path(f"{name}/", admin.site.admin_view(_for_viewers(view)), name=f"billing_{name}") for name, view in views.items()]


def _for_viewers(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def shown(request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("billing.view_invoice"):
            raise PermissionDenied
        return view(request)
    return shown


def _answer(request: HttpRequest, page: str, tables: Sequence[Table], template: str = "report", **context: Any) -> HttpResponse:
    """The page, or its first table as a file."""
    if request.GET.get("format") == "csv":
        return tables[0].as_file(page)
    query = {name: value for name, value in request.GET.items() if name != "format"}
    return TemplateResponse(request, f"admin/billing/{template}.html", admin.site.each_context(request) | {
        "title": PAGES[page], "tables": tables, "csv_url": f"?{urlencode(query | {'format': 'csv'})}",
        "tabs": [(reverse(f"admin:billing_{name}"), word, name == page) for name, word in PAGES.items()], **context})


def _month(request: HttpRequest) -> tuple[Month, list[Month], Any]:
    """The one that is asked for (by default the last one that is over), those on offer, and the time."""
    now, zone = database_now(), issuing.issuer().time_zone
    this = offered = Month.of(now, zone)
    months = []
    for _number in range(MONTHS_OFFERED):
        months.append(offered)
        offered = offered.previous
    return month_named(request.GET.get("month") or str(this.previous), zone), months, now


def month_named(text: str, zone: str) -> Month:
    """Raises InvalidInput."""
    try:
        return Month.named(text, zone)
    except ValueError as error:
        raise InvalidInput.field("month", _("A month like 2026-11.")) from error


def revenue(request: HttpRequest) -> HttpResponse:
    """`?month=2026-11&by=organization`."""
    month, months, now = _month(request)
    by = request.GET.get("by") or "organization"
    if by not in reports.BY:
        raise InvalidInput.field("by", _("One of: {names}.").format(names=", ".join(reports.BY)))
    found = remembered(("revenue", str(month), by, get_language()), lambda: reports.revenue(month, by, now=now))
    return _answer(request, "revenue", [_groups(found), _by_month(found), *_gaps(found)], figures=found.totals, months=months,
                   month=str(month), by=by, choices=reports.BY.items(), found=found)


def _groups(found: reports.Revenue) -> Table:
    note = _("“Not invoiced” is what the usage costs by now; it is part of the revenue.") if found.is_open else ""
    heading = (reports.BY[found.by], _("Currency"), _("Revenue"), _("Not invoiced"), _("Month before"), _("Growth"),
               _("Our cost"), _("Margin"), _("Margin, percent"))
    return Table(title=_("By %(by)s") % {"by": str(reports.BY[found.by]).lower()}, heading=heading, note=note,
                 rows=[_group(one) for one in found.groups])


def _group(one: Group) -> list[Any]:
    return [one.name, one.currency, one.revenue, one.open, one.before, Share(one.change_percent), one.cost, one.margin,
            Share(one.margin_percent)]


def _by_month(found: reports.Revenue) -> Table:
    return Table(title=_("Invoiced by month"), heading=(_("Month"), _("Currency"), *WORDS.values()),
                 note=_("Less credit notes. Discounts are those of the chosen month alone."), rows=[
                     [one.month, one.currency, *(money.amount if what != "discount" or one.month == str(found.month) else None
                                                 for what, money in zip(WORDS, one.cells, strict=True))]
                     for one in found.months])


def _gaps(found: reports.Revenue) -> list[Table]:
    return [_gap_table(found.gaps, _("The margin counts this as a cost of nothing."))] if found.gaps else []


def _gap_table(gaps: Iterable[Any], note: Any) -> Table:
    return Table(title=_("Used, and not priced by the book"), note=note,
                 heading=(_("Region"), _("Meter"), _("SKU"), _("Unit-hours")),
                 rows=[[gap.region, label_of(gap.meter), gap.sku, gap.unit_hours] for gap in gaps])


def receivables(request: HttpRequest) -> HttpResponse:
    found = reports.receivables(database_now())
    rows = [[_organization(row.organization, row.name), row.currency, *row.ages.values(), row.total] for row in found.rows]
    heading = (_("Currency"), *AGES.values(), _("Total"))
    together = [[row.currency, *row.ages.values(), row.total] for row in found.totals]
    return _answer(request, "receivables", [
        Table(title=_("By organization"), heading=(_("Organization"), *heading), rows=rows, empty=_("Nobody owes anything.")),
        Table(title=_("Together"), heading=heading, rows=together)])


def _organization(pk: UUID, name: str) -> Link:
    return Link(name, reverse("admin:tenants_organization_change", args=[pk]))


def unbilled(request: HttpRequest) -> HttpResponse:
    now = database_now()
    found = remembered("unbilled", lambda: reports.unbilled(now))
    rows = [[Link(row.month, _closing(row.month, row.organization)), _organization(row.organization, row.name), Sums(row.money),
             row.why, row.error] for row in found.rows]
    return _answer(request, "unbilled", [
        Table(title=_("Months that are over and on no invoice"), rows=rows, empty=_("All that was used is invoiced."),
              heading=(_("Month"), _("Organization"), _("Amount"), _("Why"), _("Error"))),
        Table(title=_("Runs without a price"), heading=(_("Region"), _("Meter"), _("SKU")), empty=_("All that runs has a price."),
              rows=[[region, label_of(meter), sku] for region, meter, sku in found.unpriced])])


def _closing(month: object, organization: object = None) -> str:
    query = {"month": str(month), **({"organization": str(organization)} if organization else {})}
    return f"{reverse('admin:billing_closing')}?{urlencode(query)}"


def close(request: HttpRequest) -> HttpResponse:
    """`?month=2026-11&organization=<id>`: what closing it would bill. By POST it is closed, once that is confirmed."""
    month, months, now = _month(request)
    organization = _asked(request, "organization", Organization)
    if request.method == "POST":
        return _closed(request, month, organization, now)
    found = reports.to_close(month, now=now, organization=organization)
    rows = [[Link(row.name, _closing(month, row.organization)), Sums(row.money), row.error] for row in found.rows]
    table = Table(title=_("%(month)s is not closed for") % {"month": month}, rows=rows, heading=(
        _("Organization"), _("Amount"), _("Error")), empty=_("Nobody: all that was used is invoiced.") if found.is_over else
        _("This month is not over."), note=_("Before credit and tax. Without an amount nothing has a price, and there is no "
                                             "invoice."))
    return _answer(request, "closing", [table], template="closing", months=months, month=str(month), organization=organization,
                   found=found, shown_sums=_cell(Sums(found.sums))["text"], may_close=request.user.has_perm(MAY_CLOSE),
                   has_issuer=Issuer.objects.exists(), no_issuer=closing.NOBODY_BILLS,
                   close_url=_closing(month, organization and organization.pk))


def _closed(request: HttpRequest, month: Month, organization: Organization | None, now: Any) -> HttpResponse:
    """Each by itself, for CLOSES_FOR_S, and said how it went."""
    if not request.user.has_perm(MAY_CLOSE):
        raise PermissionDenied
    if "confirmed" not in request.POST:
        messages.error(request, _("Nothing was closed: confirm it below."))
        return redirect(_closing(month, organization and organization.pk))
    _tell(request, month, closing.close_by_hand(month, organization=organization, now=now, actor=request.user,
                                                seconds=CLOSES_FOR_S))
    return redirect(_closing(month))


def _tell(request: HttpRequest, month: Month, closed: closing.Closed) -> None:
    sums = together(Money(invoice.total, invoice.currency) for invoice in closed.invoices)
    messages.success(request, gettext("%(month)s: %(count)s invoices were issued, over %(sums)s.") % {
        "month": month, "count": len(closed.invoices), "sums": _cell(Sums(sums))["text"]} if closed.invoices else
        gettext("%(month)s: no invoice was issued.") % {"month": month})
    if names := ", ".join(one.name for one in closed.failed[:20]):
        messages.error(request, gettext("Not closed, see the errors below: %(names)s") % {"names": names})
    if closed.left:
        messages.warning(request, gettext("%(count)s are left: close them next.") % {"count": closed.left})


def preview(request: HttpRequest) -> HttpResponse:
    """`?book=<id>&month=2026-11&organization=<id>`."""
    month, months, now = _month(request)
    books = list(PriceBook.objects.order_by("is_default", "name"))
    book = _asked(request, "book", PriceBook) or next(iter(books), None)
    organization = _asked(request, "organization", Organization)
    tables = []
    if book is not None:
        found = remembered(("book preview", book.pk, str(month), organization and organization.pk),
                           lambda: reports.preview(book, month, now=now, organization=organization))
        tables = [_preview(found), *([_gap_table(found.gaps, _without(book))] if found.gaps else [])]
    return _answer(request, "preview", tables or [Table(title=PAGES["preview"], heading=(), rows=[])], months=months,
                   month=str(month), books=books, book=book, organization=organization)


def _asked(request: HttpRequest, name: str, model: type) -> Any:
    if not (text := request.GET.get(name)):
        return None
    try:
        found = model.objects.filter(pk=UUID(text)).first()
    except ValueError as error:
        raise NotFound from error
    if found is None:
        raise NotFound
    return found


def _without(book: PriceBook) -> Any:
    if book.is_cost:
        return _("Nobody entered what this costs us.")
    return _("There the prices of the default book hold, if it is in the same currency.")


def _preview(found: reports.Preview) -> Table:
    def cells(row: Any, name: Any) -> list[Any]:
        shown = (row.before, row.under, *(() if found.book.is_cost else (row.discounted,)))
        return [name, *map(_sums, shown), row.difference, row.currency if row.difference is not None else ""]

    def here(row: Any) -> Link:
        query = {"book": found.book.pk, "month": str(found.month), "organization": row.organization}
        return Link(row.name, f"?{urlencode(query)}")

    total = [cells(found.total, _("All"))] if len(found.rows) > 1 else []
    return Table(
        title=_("%(month)s under “%(book)s”") % {"month": found.month, "book": found.book.name},
        note=_("As rated: before credit and tax. The difference is that to what its terms ask; different currencies are not "
               "subtracted."),
        heading=(_("Organization"), _("By its terms"), _("Under this book"),
                 *(() if found.book.is_cost else (_("Less its discounts"),)), _("Difference"), _("Currency")),
        rows=[*total, *(cells(row, here(row)) for row in found.rows)], empty=_("Nothing was used."))


def _sums(amounts: dict[str, Decimal]) -> Sums:
    return Sums([Money(amount, currency) for currency, amount in amounts.items()])
