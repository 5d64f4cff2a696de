"""Statements that PostgreSQL plans for their values.

A text that comes again is planned once for its connection, for any value (settings.DATABASES). What a reader filters by is no
such value: the plan that soon finds a page of what many rows are looks through all of them for a page of what few are. A list by
a rare state took ten times as long once the list by a frequent one had been planned.
"""
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def planned_by_values() -> Iterator[None]:
    """Inside the block each statement of this thread is planned anew, which takes a millisecond."""
    connection.ensure_connection()
    driver = connection.connection
    before, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        yield
    finally:
        driver.prepare_threshold = before
