"""Pages on usage and cost. They only show what `billing.rating` computed."""
import re
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from billing import credit
from billing.costs import month_asked
from billing.periods import Month
from billing.queries import FILE_COLUMNS, month_file, month_usage
from portal.kernel.errors import InvalidInput
from portal.kernel.lists import export
from portal.kernel.states import database_now
from tenants.pages import page
from tenants.scope import current_project

PAGE = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


@page("usage.view")
def usage(request: HttpRequest) -> HttpResponse:
    """What the month costs so far, by resource; `?month=2026-11`, `?page=2`."""
    now = database_now()
    number = request.GET.get("page", "1")
    month = month_asked(request.GET.get("month"), now)
    if not PAGE.fullmatch(number):
        raise InvalidInput.field("page", _("A page number."))
    if request.GET.get("format") == "csv":
        return _file(request, month, now)
    found = month_usage(request.user, month, project=current_project(request), page=int(number), now=now)
    credits = credit.balances_seen(request.user, current_project(request))
    return render(request, "billing/usage.html", {"usage": found, "credits": credits, "now": now})


def _file(request: HttpRequest, month: Month, now: datetime) -> HttpResponse:
    """The whole month as CSV: rating reads it in one statement, so it is one batch."""
    project = current_project(request)

    def batch(cursor: str | None, limit: int) -> tuple[list[list[object]], str | None]:
        rows, is_cut = month_file(request.user, month, project=project, most=export.MOST_ROWS, now=now)
        return rows, "more" if is_cut else None

    return export.answer(f"usage-{month}", FILE_COLUMNS, batch)
