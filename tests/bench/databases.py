"""Throw-away databases for what is measured in this process, and copies of rows by the thousand."""
import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import django
import psycopg
from psycopg import sql

from portal import env
from portal.upkeep import postgres

# The tests' own pattern, so that whatever a killed run left is dropped by their next one.
PREFIX = f"test_mains_p{os.getpid()}_gw8"


def set_up() -> None:
    """Django, ringing no doorbell, keeping its files in a folder of this run."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    env.in_web_process = True
    django.setup()
    from django.conf import settings

    logging.disable(logging.INFO)
    settings.DOORBELLS = False
    settings.ALLOWED_HOSTS = ["*"]
    folder = Path(tempfile.mkdtemp(prefix="mains-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings.STATE_DIR = folder


@contextmanager
def database(number: int = 0) -> Iterator[str]:
    """A migrated database, in use inside the block; its name."""
    from django.core.management import call_command

    name, home = f"{PREFIX}{number}", urlsplit(os.environ["DATABASE_URL"]).path[1:]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as outside:
        postgres.drop_by(outside, name)
        outside.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        use(name)
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable")
        yield name
    finally:
        use(home)
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as outside:
            postgres.drop_by(outside, name)


def use(name: str) -> None:
    """Point Django's connection at another database."""
    from django.db import connection, connections

    connection.close()
    connection.close_pool()
    connection.settings_dict["NAME"] = name
    connections.settings["default"]["NAME"] = name  # for other threads' connections


def url(name: str) -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def copy_resource(template, count: int) -> None:
    """`count` more rows like the template's, in the resources' table and in its own: one second apart, newest first.

    Django cannot create rows of joined tables in bulk.
    """
    from django.db import connection

    from portal.kernel.models import Resource

    base, own, table = _columns(Resource), _columns(type(template)), sql.Identifier(Resource._meta.db_table)
    changed = {"id": sql.SQL("gen_random_uuid()"), "name": sql.SQL("t.name || '-' || n"),
               "created_at": sql.SQL("t.created_at - n * interval '1 second'")}
    first = sql.SQL("INSERT INTO {table} ({names}) SELECT {values} FROM {table} AS t, generate_series(1, %s) AS n "
                    "WHERE t.id = %s RETURNING id").format(
        table=table, names=_names(base),
        values=sql.SQL(", ").join(changed.get(name, sql.Identifier("t", name)) for name in base))
    second = sql.SQL("WITH made AS (SELECT unnest(%s::uuid[]) AS id) INSERT INTO {table} ({names}) "
                     "SELECT {values} FROM {table} AS t, made WHERE t.resource_id = %s").format(
        table=sql.Identifier(template._meta.db_table), names=_names(own),
        values=sql.SQL(", ").join(sql.Identifier(*(("made", "id") if name == "resource_id" else ("t", name)))
                                  for name in own))
    with connection.cursor() as cursor:
        cursor.execute(first, [count, template.pk])
        made = [row[0] for row in cursor.fetchall()]
        cursor.execute(second, [made, template.pk])


def analyze() -> None:
    """The planner knows the new rows, as autovacuum would have told it by and by."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _columns(model) -> list[str]:
    return [field.column for field in model._meta.local_concrete_fields if not field.generated]


def _names(columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in columns)
