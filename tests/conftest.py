"""What every test stands on: the stage `test`, and a database of this session alone.

Fixtures of the rooms live beside their tests.
"""
import fcntl
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from django.utils import translation
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from portal.upkeep import postgres

STAGE_MISSING = ("These tests need the stage `test`: run them with `make test ARGS=…`, or, with `make services` up, "
                 "python3 compute/lab/setup exec test .venv/bin/pytest …")
# What boots guests or measures time on the machine: nothing may run beside it.
ALONE = ("tests/stories/", "tests/lab", "tests/hosts/test_real_hosts.py", "tests/engine/test_storm.py",
         "tests/compute/drivers/test_libvirt_connections.py")
# With `-n`, these share one process: they use the stage's lab, or make machines, networks and daemons of their own.
ON_THE_MACHINE = (*ALONE, "tests/compute/drivers/", "tests/console/test_real_", "tests/network/fabric/",
                  "tests/harness/")
# Each test of these takes minutes: with `-n` they begin early and every process takes some.
SLOWEST = ("tests/walk/test_walk.py", "tests/rest/test_schemathesis.py")
# Triggers let nobody delete rows of the audit trail or the books: here, as a superuser would, the owner of the tables switches
# them off. Children stand before what they point at.
FINAL = ("kernel_auditevent", "billing_voucheruse", "billing_budgetalarm", "billing_charge", "billing_invoiceline",
         "billing_credituse", "billing_leg", "billing_entry", "billing_invoicemail", "billing_payment", "billing_invoice")
EMPTY_FINAL = f"""
DO $$ DECLARE name text; filled text[] := '{{}}'; is_filled boolean; BEGIN
    FOREACH name IN ARRAY ARRAY{list(FINAL)} LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO is_filled;
        CONTINUE WHEN NOT is_filled;
        filled := filled || name;
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', name);
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    SET CONSTRAINTS ALL IMMEDIATE;
    FOREACH name IN ARRAY filled LOOP
        EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', name);
    END LOOP;
    SET CONSTRAINTS ALL DEFERRED;
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


def scope_of(nodeid: str) -> str:
    """Under `-n` a module stays together, and so does all that stands on the machine itself."""
    module = nodeid.partition("::")[0]
    if module.startswith(ON_THE_MACHINE):
        return "machine"
    return nodeid if module in SLOWEST else module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: the machine's tests, of which those of `ALONE` follow one another, each of the slowest,
    then modules of many tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    sizes = Counter(scope_of(item.nodeid) for item in items)
    items.sort(key=lambda item: (scope_of(item.nodeid) != "machine", not is_alone(item), not item.nodeid.startswith(SLOWEST),
                                 -sizes[scope_of(item.nodeid)]))


def is_alone(item: pytest.Item | None) -> bool:
    return item is not None and item.nodeid.startswith(ALONE)


class ByScope(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByScope:
    config.option.loadscopereorder = False  # they are in order already
    return ByScope(config, log)


_turn: IO | None = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Tests of several processes run beside each other; those of `ALONE` wait until they have the machine, and keep it to the
    last of them: if it changed hands after each, both processes would wait for the other's longest."""
    global _turn
    translation.deactivate()  # the language of the last page that an earlier test fetched
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    if _turn is None:
        _turn = (Path(os.environ["MAINS_STATE_DIR"]) / "turn.lock").open("a")
        fcntl.flock(_turn, fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        if not (is_alone(item) and is_alone(nextitem)):
            _turn.close()
            _turn = None


@pytest.fixture(scope="session", autouse=True)
def all_is_read_anew() -> Iterator[None]:
    """Sums that took long are kept, and on a busy machine everything takes long; what is kept on purpose stays so."""
    from portal.kernel import remembered

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(remembered, "SLOW_S", float("inf"))
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_is_forgotten_while_statements_are_counted() -> Iterator[None]:
    """What is kept for some seconds would be asked again on a busy machine, and the same page ask more often than before."""
    from django.test.utils import CaptureQueriesContext

    from portal.kernel import remembered

    begin, end = CaptureQueriesContext.__enter__, CaptureQueriesContext.__exit__

    def stand(until: float) -> None:
        for key, kept in list(remembered._kept.items()):
            remembered._kept[key] = remembered.Kept(value=kept.value, until=until)

    def enter(context: CaptureQueriesContext) -> CaptureQueriesContext:
        stand(float("inf"))
        return begin(context)

    def leave(context: CaptureQueriesContext, *what: object) -> None:
        end(context, *what)
        stand(time.monotonic())  # whatever is looked at between two counts is read anew

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CaptureQueriesContext, "__enter__", enter)
        patched.setattr(CaptureQueriesContext, "__exit__", leave)
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_are_listed_once() -> Iterator[None]:
    """Each test client makes the middleware anew, and that of static files then looked at a thousand of them: half of the time
    of a test of one page."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    found: dict[tuple[str, str], dict] = {}
    look = WhiteNoiseMiddleware.update_files_dictionary

    def remember(middleware: WhiteNoiseMiddleware, root: str, prefix: str) -> None:
        if (root, prefix) not in found:
            look(middleware, root, prefix)
            found[root, prefix] = dict(middleware.files)
        middleware.files.update(found[root, prefix])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WhiteNoiseMiddleware, "update_files_dictionary", remember)
        yield


def _delete_rows(operations: DatabaseOperations, _style: object, tables: list[str], **_options: object) -> list[str]:
    """What empties the database after a transactional test: TRUNCATE makes files anew for every table, which takes half a
    second; a test leaves few rows, and foreign keys are looked at when all are gone."""
    return [EMPTY_FINAL, *(f"DELETE FROM {operations.quote_name(table)}" for table in tables)]


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
                postgres.drop_by(connection, name)
