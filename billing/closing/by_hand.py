"""An operator closes a month before, or instead of, the clock: some organizations at a time, each by itself."""
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from django.utils.translation import gettext_lazy as _

from billing.closing.months import close_each, require_over, to_close
from billing.models import Invoice, Issuer
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from tenants.models import Organization

NOBODY_BILLS = _("Nobody bills: no issuer is entered.")


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What was issued, for whom it failed (which is kept as a `ClosingFailure`), and how many organizations are left."""

    invoices: tuple[Invoice, ...]
    failed: tuple[Organization, ...]
    left: int


def close_by_hand(month: Month, *, organization: Organization | None, now: datetime, actor, seconds: float) -> Closed:
    """Close the month of one organization, or of all where it is open: one begins none after so many seconds, and asking again
    goes on. Raises InvalidInput while the month is not over, and where nobody bills."""
    require_over(month, now)
    if not Issuer.objects.exists():
        raise InvalidInput.field("month", NOBODY_BILLS)
    waiting = list(to_close(month, organization and organization.pk))
    ends, count, invoices, failed = monotonic() + seconds, 0, [], []
    for one, issued in close_each(waiting, month, now=now, actor=actor):
        count += 1
        invoices += issued or []
        failed += [one] if issued is None else []
        if monotonic() > ends:
            break
    return Closed(invoices=tuple(invoices), failed=tuple(failed), left=len(waiting) - count)
