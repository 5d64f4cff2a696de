"""Pages on usage and cost. They only show what `billing.rating` computed."""
import re

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.periods import Month
from billing.queries import month_usage
from portal.kernel.errors import InvalidInput
from portal.kernel.states import database_now

PAGE = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


@login_required
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """What the month costs so far, by resource; `?month=2026-11`, `?page=2`."""
    now = database_now()
    text, page = request.GET.get("month") or str(Month.of(now)), request.GET.get("page", "1")
    try:
        month = Month.named(text)
    except ValueError as error:
        raise InvalidInput.field("month", _("A month like 2026-11.")) from error
    if not PAGE.fullmatch(page):
        raise InvalidInput.field("page", _("A page number."))
    found = month_usage(request.user, month, page=int(page), now=now)
    return render(request, "billing/usage.html", {"usage": found, "now": now})
