"""What every test stands on: the stage `test`, and a database of this session alone.

Fixtures of the rooms live beside their tests.
"""
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from django.utils import translation
from psycopg import sql
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

STAGE_MISSING = ("These tests need the stage `test`: run them with `make test ARGS=…`, or, with `make services` up, "
                 "python3 compute/lab/setup exec test .venv/bin/pytest …")
# What boots guests or measures time on the machine: nothing may run beside it.
ALONE = ("tests/stories/", "tests/lab", "tests/hosts/test_real_hosts.py", "tests/engine/test_storm.py",
         "tests/compute/drivers/test_libvirt_connections.py")
# With `-n`, these share one process: they use the stage's lab, or make machines, networks and daemons of their own.
ON_THE_MACHINE = (*ALONE, "tests/compute/drivers/", "tests/console/test_real_screen.py", "tests/network/fabric/",
                  "tests/harness/")
# The audit trail's triggers let nobody delete rows: here, as a superuser would, the owner of the tables switches them off.
EMPTY_AUDIT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM kernel_auditevent) THEN
        ALTER TABLE kernel_auditevent DISABLE TRIGGER USER;
        DELETE FROM kernel_auditevent;
        ALTER TABLE kernel_auditevent ENABLE TRIGGER USER;
    END IF;
END $$
"""
SESSION_DATABASE = re.compile(r"test_mains_p(\d+)(_\w+)?")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write golden files anew instead of comparing with them")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run on anybody's real data."""
    if os.environ.get("MAINS_STAGE") != "test":
        raise pytest.UsageError(STAGE_MISSING)
    DatabaseOperations.sql_flush = _delete_rows


class ByModule(LoadScopeScheduling):
    """Under `-n` a module stays together, and so does all that stands on the machine itself."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "machine" if module.startswith(ON_THE_MACHINE) else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    return ByModule(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tests of several processes run beside each other; those of `ALONE` wait until they have the machine."""
    translation.deactivate()  # the language of the last page that an earlier test fetched
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    how = fcntl.LOCK_EX if item.nodeid.startswith(ALONE) else fcntl.LOCK_SH
    with (Path(os.environ["MAINS_STATE_DIR"]) / "turn.lock").open("a") as lock:
        fcntl.flock(lock, how)
        return (yield)


def _delete_rows(operations: DatabaseOperations, _style: object, tables: list[str], **_options: object) -> list[str]:
    """What empties the database after a transactional test: TRUNCATE makes files anew for every table, which takes half a
    second; a test leaves few rows, and foreign keys are looked at when all are gone."""
    return [EMPTY_AUDIT, *(f"DELETE FROM {operations.quote_name(table)}" for table in tables)]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, django_db_keepdb: bool) -> None:
    """Give this session a database of its own: sessions side by side do not meet. What killed ones left is dropped.

    `--reuse-db` keeps the common name, since a kept database is there to be found again.
    """
    from django.conf import settings

    if django_db_keepdb:
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    session = f"{os.getppid()}_{worker}" if worker else str(os.getpid())
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = f"test_mains_p{session}"
    _drop_abandoned_databases(os.environ["DATABASE_URL"])


def _drop_abandoned_databases(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall():
            match = SESSION_DATABASE.fullmatch(name)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                connection.execute(drop)
