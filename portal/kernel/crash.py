"""Crash points: the seam through which the crash harness kills the process at the k-th outside call.

Every database statement, driver call and file operation of an operation passes `point`; it does nothing unless armed.
"""
from collections.abc import Callable

_armed: Callable[[str], None] | None = None


def point(what: str) -> None:
    """Tell the harness that `what` is about to happen or has just happened."""
    if _armed is not None:
        _armed(what)


def arm(trigger: Callable[[str], None] | None) -> None:
    """Install (or with None remove) the harness's trigger in this process."""
    global _armed
    _armed = trigger


def statement_wrapper(execute, sql, params, many, context):
    """For `connection.execute_wrapper`: a crash point before and after each statement."""
    point(f"before sql {sql[:60]}")
    answer = execute(sql, params, many, context)
    point(f"after sql {sql[:60]}")
    return answer
