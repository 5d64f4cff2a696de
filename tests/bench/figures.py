"""What a measurement hands back, how rounds become a figure, and the table that people read."""
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


class Skipped(Exception):
    """This figure cannot be measured here; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. A figure without a goal is for information."""

    name: str
    value: str
    compared: str = ""
    goal: str = ""
    met: bool | None = None


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios: what both sides of a round suffered from the machine cancels out."""
    return median([mine / other for mine, other in zip(ours, theirs, strict=True)])


def spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} … {max(values):.2f}"


def duration(values: Sequence[float]) -> str:
    found = median(values)
    return f"{found:.2f} s" if found >= 1 else f"{1000 * found:.3g} ms"


def beside(name: str, ours: Sequence[float], theirs: Sequence[float], other: str) -> Figure:
    """Our times as a multiple of theirs."""
    return Figure(name=name, value=f"{ratio(ours, theirs):.2f} × ({duration(ours)})",
                  compared=f"{other} ({duration(theirs)})")


def at_most(name: str, value: float, limit: float, *, compared: str, note: str = "") -> Figure:
    """A ratio with a goal."""
    return Figure(name=name, value=f"{value:.2f} ×{note}", compared=compared, goal=f"≤ {limit:g} ×", met=value <= limit)


def table(figures: Sequence[Figure]) -> str:
    verdicts = {None: "", True: "ok", False: "MISSED"}
    rows = [("figure", "value", "compared with", "goal", "")]
    rows += [(figure.name, figure.value, figure.compared, figure.goal, verdicts[figure.met]) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
