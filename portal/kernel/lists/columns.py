"""The columns of a list, and what is said where it has no rows."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its heading, the field that it sorts by (never a nullable one), and what of a line goes into CSV.

    `kind` is CSS classes. A column with `for_all_projects` says nothing while one project is looked at; one that is
    `only_in_csv` is not drawn. The cells themselves are in the list's row template, in this order.
    """

    label: Any
    sort: str = ""
    kind: str = ""
    value: Callable[[Any], object] | None = None
    for_all_projects: bool = False
    only_in_csv: bool = False


@dataclass(frozen=True, kw_only=True)
class Empty:
    """What a list says while there is nothing at all: a sentence, the first step by button, the same by command line."""

    icon: str
    title: Any
    text: Any
    action: Any = ""
    url_name: str = ""
    permission: str = ""
    command: str = ""
