"""Budgets: what may be spent a month, what is watched, and what is done when it is reached.

`spending` counts, `verbs` make and change, `alarms` watch and fire, `limits` refuses what is new, `stopping` stops what runs,
`telling` says who hears of it. What holds is what the budget says now and which alarms this month has: nothing is kept that
would have to be lifted, so a new month, a higher amount or a threshold taken away ends a block by itself.
"""
from . import alarms, limits, stopping, telling, verbs
from .alarms import check, watch
from .limits import BudgetReached, in_force, refusing, require
from .spending import Spending, month_of, spending_of
from .stopping import stop_over
from .verbs import change_budget, create_budget, delete_budget, end_with_project

__all__ = ["BudgetReached", "Spending", "alarms", "change_budget", "check", "create_budget", "delete_budget", "end_with_project",
           "in_force", "limits", "month_of", "refusing", "require", "spending_of", "stop_over", "stopping", "telling", "verbs",
           "watch"]
