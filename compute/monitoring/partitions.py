"""Partitions by time: made ahead of what will lie in them, dropped when all of what lies in them is too old.

What comes for a time that has none goes into the default partition, which is otherwise empty; whoever makes the partition takes
it along. Any of this may be broken off and begun again: each partition is one transaction.
"""
from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection, transaction
from psycopg import sql

from compute.monitoring.series import SERIES, Series

AHEAD = 3
"""So many partitions after that of now."""
MARK = "%Y%m%d"
CREATE = sql.SQL("CREATE TABLE {new} (LIKE {table} INCLUDING ALL)")
TAKE = sql.SQL("WITH taken AS (DELETE FROM {default} WHERE at >= {begin} AND at < {end} RETURNING *) "
               "INSERT INTO {new} SELECT * FROM taken")
ATTACH = sql.SQL("ALTER TABLE {table} ATTACH PARTITION {new} FOR VALUES FROM ({begin}) TO ({end})")
DROP = sql.SQL("DROP TABLE IF EXISTS {old}")
FOUND = ("SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
         "WHERE inhparent = %s::regclass ORDER BY 1")


def make_ahead(now: datetime) -> list[str]:
    """The partitions of now and of what comes, where they are missing; says which were made."""
    made = []
    for series in SERIES:
        begin, there = series.begin(now.astimezone(UTC)), set(found(series))
        for _number in range(AHEAD + 1):
            name = _name(series, begin)
            if name not in there:
                _make(series, name, begin)
                made.append(name)
            begin = series.after(begin)
    return made


def drop_old(now: datetime) -> list[str]:
    """Forget partitions that ended before what is kept; says which."""
    dropped = []
    for series in SERIES:
        for name, begin in _dated(series):
            if series.after(begin) <= now - series.keep():
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(DROP.format(old=sql.Identifier(name)))
                dropped.append(name)
    return dropped


def found(series: Series) -> list[str]:
    """Names of the partitions that there are, the default one too."""
    with connection.cursor() as cursor:
        cursor.execute(FOUND, [series.table])
        return [name for (name,) in cursor.fetchall()]


def default(series: Series) -> str:
    return series.table + "_default"


def _dated(series: Series) -> Iterator[tuple[str, datetime]]:
    for name in found(series):
        if name != default(series):
            yield name, datetime.strptime(name.rpartition("_")[2], MARK).replace(tzinfo=UTC)


def _name(series: Series, begin: datetime) -> str:
    return f"{series.table}_{begin:{MARK}}"


@transaction.atomic
def _make(series: Series, name: str, begin: datetime) -> None:
    """A table of its own first, attached when it has its rows: so nobody who reads or writes waits for more than a moment."""
    words = {"table": sql.Identifier(series.table), "new": sql.Identifier(name), "default": sql.Identifier(default(series)),
             "begin": sql.Literal(begin.isoformat()), "end": sql.Literal(series.after(begin).isoformat())}
    with connection.cursor() as cursor:
        for statement in (CREATE, TAKE, ATTACH):
            cursor.execute(statement.format(**words))
