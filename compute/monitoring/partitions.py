"""Partitions by time: made ahead of what will lie in them, dropped when all of what lies in them is too old.

What comes for a time that has none goes into the default partition, which is otherwise empty; whoever makes the partition takes
it along. Any of this may be broken off and begun again: each partition is one transaction.

Who waits for a whole table makes all wait that come after, so nobody waits for long here: what is not had at once, the next beat
tries again. Partitions are made ahead, and old ones do no harm.
"""
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog
from django.db import OperationalError, connection, transaction
from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from compute.monitoring.series import SERIES, Series

log = structlog.get_logger(__name__)
AHEAD = 3
"""So many partitions after that of now."""
PATIENCE = "1s"
"""For a lock."""
MARK = "%Y%m%d"
# What is written into the default partition after its rows were taken over would be in the way of the new one.
LOCK = sql.SQL("LOCK TABLE {default} IN EXCLUSIVE MODE")
CREATE = sql.SQL("CREATE TABLE {new} (LIKE {table} INCLUDING ALL)")
TAKE = sql.SQL("WITH taken AS (DELETE FROM {default} WHERE at >= {begin} AND at < {end} RETURNING *) "
               "INSERT INTO {new} SELECT * FROM taken")
ATTACH = sql.SQL("ALTER TABLE {table} ATTACH PARTITION {new} FOR VALUES FROM ({begin}) TO ({end})")
DROP = sql.SQL("DROP TABLE IF EXISTS {old}")
FORGET = sql.SQL("DELETE FROM {default} WHERE at < {until}")
FOUND = ("SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
         "WHERE inhparent = %s::regclass ORDER BY 1")


def make_ahead(now: datetime) -> list[str]:
    """The partitions of now and of what comes, where they are missing; says which were made."""
    made = []
    for series in SERIES:
        begin, there = series.begin(now.astimezone(UTC)), set(found(series))
        for _number in range(AHEAD + 1):
            name = _name(series, begin)
            if name not in there and _make(series, name, begin):
                made.append(name)
            begin = series.after(begin)
    return made


def drop_old(now: datetime) -> list[str]:
    """Forget partitions that ended before what is kept, and what is older in the default ones; says which partitions went."""
    dropped = []
    for series in SERIES:
        until = now - series.keep()
        for name, begin in _dated(series):
            if series.after(begin) <= until and _do(name, DROP.format(old=sql.Identifier(name))):
                dropped.append(name)
        rest = default(series)
        _do(rest, FORGET.format(default=sql.Identifier(rest), until=sql.Literal(until.isoformat())))
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


def _make(series: Series, name: str, begin: datetime) -> bool:
    """A table of its own first, attached when it has its rows: so nobody who reads or writes waits for more than a moment."""
    words = {"table": sql.Identifier(series.table), "new": sql.Identifier(name), "default": sql.Identifier(default(series)),
             "begin": sql.Literal(begin.isoformat()), "end": sql.Literal(series.after(begin).isoformat())}
    return _do(name, *(statement.format(**words) for statement in (LOCK, CREATE, TAKE, ATTACH)))


def _do(name: str, *statements: sql.Composed) -> bool:
    """All of these to a partition, or none, which is said by False: somebody was in the way."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
            for statement in statements:
                cursor.execute(statement)
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")  # a migration goes on in this transaction
    except OperationalError as error:
        if not isinstance(error.__cause__, (LockNotAvailable, DeadlockDetected)):
            raise
        log.warning("monitoring.partition_waits", partition=name)
        return False
    return True
