"""What a month costs: where the money goes, what it comes to by its end, what is unusual, and what serves nobody.

All figures are `billing.rating`'s own sums, by currency; nothing here writes, and no page is known here.
"""
from billing.costs.forecasting import forecast
from billing.costs.months import month_asked, this_month

__all__ = ["forecast", "month_asked", "this_month"]
