"""What the application cannot do: rewrite the audit trail with its triggers switched off, as the owner of the tables can."""
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

TABLES = ("kernel_auditevent", "kernel_auditchain")


@contextmanager
def rewriting() -> Iterator[CursorWrapper]:
    """One transaction without the triggers; its cursor for SQL by hand."""
    with transaction.atomic(), connection.cursor() as cursor:
        _switch(cursor, "DISABLE")
        yield cursor
        _switch(cursor, "ENABLE")


def _switch(cursor: CursorWrapper, how: str) -> None:
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is still to be checked keeps a table from being altered
    for table in TABLES:
        cursor.execute(f"ALTER TABLE {table} {how} TRIGGER USER")
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
