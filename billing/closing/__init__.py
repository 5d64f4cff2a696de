"""Months that are over become invoices; what was wrong in them becomes charges of later ones.

`months` closes, `corrections` adjusts and rates anew, `statements` has the SQL of both.
"""
from billing.closing.corrections import Correction, adjust, rerate
from billing.closing.months import (
    CLOSES_AFTER,
    close,
    close_all,
    close_due,
    close_each,
    has_to_close,
    period_of,
    require_over,
    to_close,
    waiting,
)

__all__ = ["CLOSES_AFTER", "Correction", "adjust", "close", "close_all", "close_due", "close_each", "has_to_close", "period_of",
           "require_over", "rerate", "to_close", "waiting"]
