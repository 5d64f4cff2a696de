"""Months that are over become invoices; what was wrong in them becomes charges of later ones.

`months` closes, `by_hand` does so for an operator, `corrections` adjusts and rates anew, `statements` has the SQL of both.
"""
from billing.closing.by_hand import NOBODY_BILLS, Closed, close_by_hand
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

__all__ = ["CLOSES_AFTER", "NOBODY_BILLS", "Closed", "Correction", "adjust", "close", "close_all", "close_by_hand", "close_due",
           "close_each", "has_to_close", "period_of", "require_over", "rerate", "to_close", "waiting"]
