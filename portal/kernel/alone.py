"""Work that one process at a time does, whichever gets to it: tasks that a clock and doorbells ring for at once."""
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def alone(key: int) -> Iterator[bool]:
    """Whether nobody else is at the work of this key now (64 bits, one for each kind of work); nobody else begins it meanwhile.

    PostgreSQL's advisory lock, which goes with the connection of a process that is killed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        is_ours = cursor.fetchone() == (True,)
    try:
        yield is_ours
    finally:
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
