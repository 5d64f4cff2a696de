"""What a month comes to when nothing changes any more."""
from datetime import datetime

from billing import rating
from billing.money import Money, together
from billing.periods import Month


def forecast(selection: rating.Selection, month: Month, now: datetime) -> list[Money]:
    """By currency: what was used of the month, and what runs now until its end, as rating will say when it is over: with the
    prices, tiers, minimums and terms that are known today. A month that is over is what it was. One statement."""
    found = rating.totals(selection, ("meter",), start=month.start, end=month.end, now=max(now, month.end))
    return together(total.money for total in found.totals)
