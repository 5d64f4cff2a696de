"""PostgreSQL from outside: its own programs for dumps, and connections that are not Django's.

Passwords reach the programs by their environment, never by an argument list, which every user of a machine can read.
"""
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

INSTALLED = Path("/usr/lib/postgresql")
# Always there, and never one of ours: where databases are made, renamed and dropped from.
ELSEWHERE = "postgres"


class ToolFailed(Exception):
    """One of PostgreSQL's programs is missing or ended with an error; the text is its own."""


@dataclass(frozen=True)
class Database:
    """One database and how it is reached."""

    name: str
    host: str
    port: str
    user: str
    password: str
    sslmode: str = ""
    sslrootcert: str = ""

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> "Database":
        """The one that Django is configured for (`DATABASES["default"]`)."""
        options = settings.get("OPTIONS") or {}
        return cls(*(str(settings[key] or "") for key in ("NAME", "HOST", "PORT", "USER", "PASSWORD")),
                   options.get("sslmode", ""), options.get("sslrootcert", ""))

    def called(self, name: str) -> "Database":
        """Another database of the same server."""
        return replace(self, name=name)

    def connect(self, **options: Any) -> psycopg.Connection:
        """An autocommitting connection without the time limits of a web request."""
        secured = {name: value for name in ("sslmode", "sslrootcert") if (value := getattr(self, name))}
        return psycopg.connect(dbname=self.name, host=self.host, port=self.port, user=self.user, password=self.password,
                               connect_timeout=5, autocommit=True, application_name="mains upkeep", **secured, **options)

    @property
    def environment(self) -> dict[str, str]:
        known = {"PGHOST": self.host, "PGPORT": self.port, "PGUSER": self.user, "PGPASSWORD": self.password,
                 "PGDATABASE": self.name, "PGCONNECT_TIMEOUT": "5", "PGAPPNAME": "mains upkeep",
                 "PGSSLMODE": self.sslmode, "PGSSLROOTCERT": self.sslrootcert}
        return {**os.environ, "LC_ALL": "C.UTF-8", **{key: value for key, value in known.items() if value}}


def run(database: Database, program: str, *arguments: str, server: int = 0) -> str:
    """Run one of PostgreSQL's programs; return what it printed. `server` is the least major version. Raises ToolFailed."""
    done = subprocess.run([str(program_path(program, server)), *arguments], env=database.environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise ToolFailed(f"{program}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def program_path(program: str, server: int = 0) -> Path:
    """The oldest installed version that understands a server of that major version. Raises ToolFailed."""
    found = sorted((int(path.name), path / "bin" / program) for path in INSTALLED.glob("[0-9]*")
                   if path.name.isdigit() and (path / "bin" / program).exists())
    for version, path in found:
        if version >= server:
            return path
    if not found and (path := shutil.which(program)):
        return Path(path)
    raise ToolFailed(f"{program} of PostgreSQL {server or ''} or later is not installed (postgresql-client).")


def server_version(database: Database) -> int:
    """The server's major version."""
    with database.connect() as connection:
        return connection.info.server_version // 10000


def exists(database: Database) -> bool:
    return bool(_ask(database.called(ELSEWHERE), "SELECT 1 FROM pg_database WHERE datname = %s", database.name))


def has_table(connection: psycopg.Connection, table: str, columns: Sequence[str] = ()) -> bool:
    """Whether the table is there with these columns: a dump may be of an older version."""
    rows = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' "
                              "AND table_name = %s", [table]).fetchall()
    return bool(rows) and set(columns) <= {row[0] for row in rows}


def sessions(database: Database) -> list[str]:
    """Who else is connected to it, by application name or address."""
    return [f"{row[0] or 'unnamed'} ({row[1] or 'local'})" for row in _ask(
        database.called(ELSEWHERE), "SELECT application_name, host(client_addr) FROM pg_stat_activity WHERE datname = %s "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1, 2", database.name)]


def create_empty(database: Database) -> None:
    """Make it anew; what an interrupted attempt left under that name goes."""
    with database.called(ELSEWHERE).connect() as connection:
        name = sql.Identifier(database.name)
        drop_by(connection, database.name)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))


def drop(database: Database) -> None:
    with database.called(ELSEWHERE).connect() as connection:
        drop_by(connection, database.name)


def drop_by(connection: psycopg.Connection, name: str) -> None:
    """Drop a database, if it is there, and end whose sessions it has. `connection` commits by itself and is to another one.

    Not `WITH (FORCE)`: that is refused to all but superusers while autovacuum is in there, which a plain drop asks to leave.
    """
    for attempt in range(ATTEMPTS):
        _end_sessions(connection, name)
        try:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            return
        except psycopg.errors.ObjectInUse:
            if attempt == ATTEMPTS - 1:
                raise


def put_in_place(new: Database, place: Database, aside: Database) -> None:
    """Give `new` the name of `place`, whose database becomes `aside`: both renames or none, in one transaction.

    Sessions of either are ended: PostgreSQL renames no database that is in use, and new ones wait for the rename.
    """
    with place.called(ELSEWHERE).connect() as connection:
        for attempt in range(ATTEMPTS):
            _end_sessions(connection, new.name, place.name)
            try:
                with connection.transaction():
                    if _is_there(connection, place.name):
                        connection.execute(_renaming(place.name, aside.name))
                    connection.execute(_renaming(new.name, place.name))
                return
            except psycopg.errors.ObjectInUse:
                if attempt == ATTEMPTS - 1:
                    raise


ATTEMPTS = 5
"""To drop or rename a database while new sessions come; PostgreSQL waits five seconds in each."""


def _end_sessions(connection: psycopg.Connection, *names: str) -> None:
    """Of clients: who owns the database may not end autovacuum, which leaves by itself when the database is to go."""
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s) "
                       "AND pid <> pg_backend_pid() AND backend_type = 'client backend'", [list(names)])


def _renaming(old: str, new: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))


def _is_there(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _ask(database: Database, statement: str, *values: object) -> list[tuple]:
    with database.connect() as connection:
        return connection.execute(statement, values).fetchall()
