"""Backup and restore on real databases: all rows come back, what must not go back is ahead, and a bad backup changes nothing."""
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as configured
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.network.models import Vpc
from portal.kernel.models import PortalState
from portal.kernel.secrets import keyring
from portal.upkeep import backup, postgres, restoration
from portal.upkeep.backup import Refused
from portal.upkeep.postgres import Database
from tests.world import World, drain, make_world

ROOT = Path(__file__).resolve().parents[2]
OLD = "CREATE TABLE treasure (what text); INSERT INTO treasure VALUES ('gold')"
SMALL = """
CREATE TABLE django_migrations (app text, name text);
CREATE TABLE kernel_operation (state text, arguments jsonb, lease_until timestamptz, updated_at timestamptz);
CREATE TABLE hosts_endpoint (private_key text);
CREATE TABLE treasure (what text);
INSERT INTO treasure VALUES ('silver');
"""
AHEAD = """
SELECT (SELECT generation FROM instances_instance WHERE resource_id = %s), o.token, (o.arguments->>'generation')::int,
       (SELECT draining_since IS NOT NULL FROM kernel_portalstate), (SELECT min(revision - applied_revision) FROM network_vpc)
  FROM kernel_operation o WHERE o.state IN ('queued', 'running')
"""


def here() -> Database:
    """The database of this test session."""
    return Database.of_settings(connection.settings_dict)


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, settings) -> World:
    settings.STATE_DIR, settings.DOORBELLS = tmp_path, False
    world = make_world(tmp_path)
    instance = create_instance(world.order(), actor=world.people["alice"])
    drain()
    create_instance(world.order(name="second"), actor=world.people["alice"])  # under way
    assert instance.pk
    return world


@pytest.fixture
def place(transactional_db: None) -> Iterator[Database]:
    """A database that is not ours to lose: a restore is to replace it, or to leave it as it is."""
    target = here().called(f"{here().name}_place")
    postgres.create_empty(target)
    with target.connect() as session:
        session.execute(OLD)
    yield target
    with target.called("postgres").connect() as session:
        names = session.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{target.name}%"]).fetchall()
    for (name,) in names:
        postgres.drop(target.called(name))


@pytest.fixture
def small(place: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of next to nothing, as quick to restore: what is tested is what becomes of the old database."""
    source = here().called(f"{place.name}_source")
    postgres.create_empty(source)
    with source.connect() as session:
        session.execute(SMALL)
        session.execute("INSERT INTO hosts_endpoint VALUES (%s)", [keyring().encrypt(b"key").decode()])
    backup.make(source, tmp_path / "small.dump")
    return tmp_path / "small.dump"


def treasure(database: Database) -> str:
    with database.connect() as session:
        return session.execute("SELECT what FROM treasure").fetchone()[0]


def rows(database: Database) -> dict[str, str]:
    """Every table with a digest of its rows."""
    found = {}
    with database.connect() as session:
        for (table,) in session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            question = sql.SQL("SELECT count(*) || ':' || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t")
            found[table] = session.execute(question.format(sql.Identifier(table))).fetchone()[0]
    return found


def test_every_row_comes_back_and_what_must_not_go_back_is_ahead(world: World, place: Database, tmp_path: Path) -> None:
    file = tmp_path / "whole.dump"
    backup.make(here(), file)
    assert file.stat().st_mode & 0o077 == 0 and backup.manifest_of(file).stat().st_mode & 0o077 == 0
    before = rows(here())
    done = restoration.restore(place, file, say=lambda text: None)
    after = rows(place)
    changed = {"kernel_operation", "kernel_resource", "instances_instance", "network_vpc", "network_addresspool",
               "tenants_browsersession", "console_consoleticket", "kernel_idempotencykey", "kernel_portalstate", "cache"}
    assert len(before) > 40 and before.keys() == after.keys()
    assert {table for table in before if before[table] != after[table]} <= changed
    assert [text.split(":")[0] for text in before.values()].count("0") < len(before), "nothing was copied"
    count = {table: text.split(":")[0] for table, text in before.items()}
    again = {table: text.split(":")[0] for table, text in after.items()}
    kept = changed - {"tenants_browsersession", "console_consoleticket", "kernel_idempotencykey", "kernel_portalstate", "cache"}
    assert {table: count[table] for table in kept} == {table: again[table] for table in kept}
    instance = Instance.objects.order_by("created_at").first()
    with place.connect() as session:
        generation, token, meant, draining, revision = session.execute(AHEAD, [instance.pk]).fetchone()
    assert generation == instance.generation + restoration.FAR and token >= restoration.FAR and meant == 1 + restoration.FAR
    assert draining and (revision is None or revision >= restoration.FAR) and not done.pending
    assert treasure(place.called(done.kept_as)) == "gold"


def test_the_amendments_name_columns_that_exist() -> None:
    assert {(model._meta.db_table, field.column) for model in (Instance, Vpc) for field in model._meta.local_fields} >= {
        (table, column) for table, column, _rows in restoration.LEAPS if table in ("instances_instance", "network_vpc")}


@pytest.mark.parametrize("harm", ["truncated", "one byte", "no manifest", "a newer version", "other format"])
def test_a_harmed_backup_is_refused_with_nothing_changed(place: Database, small: Path, harm: str) -> None:
    content, manifest = small.read_bytes(), backup.manifest_of(small)
    facts = json.loads(manifest.read_text())
    if harm == "truncated":
        small.write_bytes(content[:-7])
    elif harm == "one byte":
        small.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    elif harm == "no manifest":
        manifest.unlink()
    elif harm == "a newer version":
        manifest.write_text(json.dumps(facts | {"migrations": {"kernel": ["9999_of_tomorrow"]}}))
    else:
        manifest.write_text(json.dumps(facts | {"format": 2}))
    with pytest.raises(Refused):
        restoration.restore(place, small, say=lambda text: None)
    assert treasure(place) == "gold" and not postgres.exists(place.called(f"{place.name}_restoring"))


def test_other_master_keys_are_refused_before_anything_is_made(place: Database, small: Path, settings) -> None:
    settings.MASTER_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(Refused, match="MASTER_KEYS"):
        restoration.restore(place, small, say=lambda text: None)
    # Even if the manifest says otherwise, every secret in the dump itself is read.
    facts = json.loads(backup.manifest_of(small).read_text())
    backup.manifest_of(small).write_text(json.dumps(facts | {"canary": keyring().encrypt(b"mains").decode()}))
    with pytest.raises(Refused, match="hosts_endpoint"):
        restoration.restore(place, small, say=lambda text: None)
    assert treasure(place) == "gold" and not postgres.exists(place.called(f"{place.name}_restoring"))


def test_a_database_in_use_is_not_replaced_unless_told(place: Database, small: Path) -> None:
    with place.connect() as session:
        with pytest.raises(Refused, match="in use by mains upkeep"):
            restoration.restore(place, small, say=lambda text: None)
        session.execute("CREATE TABLE kernel_operation (state text); INSERT INTO kernel_operation VALUES ('running')")
    with pytest.raises(Refused, match="1 operations are under way"):
        restoration.restore(place, small, say=lambda text: None)
    assert treasure(place) == "gold"
    with place.connect():
        restoration.restore(place, small, even_if_in_use=True, say=lambda text: None)
    assert treasure(place) == "silver"


KILLED = """
import os, signal, sys
from pathlib import Path
import django
django.setup()
from django.conf import settings
from portal.kernel import crash
from portal.upkeep import restoration
from portal.upkeep.postgres import Database
crash.arm(lambda what: os.kill(os.getpid(), signal.SIGKILL) if what == sys.argv[3] else None)
place = Database.of_settings(settings.DATABASES["default"]).called(sys.argv[1])
restoration.restore(place, Path(sys.argv[2]), say=lambda text: None)
"""


def test_killed_halfway_leaves_the_old_database_and_the_next_try_succeeds(place: Database, small: Path) -> None:
    command = [sys.executable, "-c", KILLED, place.name, str(small), "before the swap"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings"})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert treasure(place) == "gold" and postgres.exists(place.called(f"{place.name}_restoring"))
    restoration.restore(place, small, say=lambda text: None)
    assert treasure(place) == "silver" and not postgres.exists(place.called(f"{place.name}_restoring"))


def test_it_restores_where_there_was_nothing(place: Database, small: Path) -> None:
    fresh = place.called(f"{place.name}_fresh")
    assert restoration.restore(fresh, small, say=lambda text: None).kept_as is None
    assert treasure(fresh) == "silver"


@pytest.mark.django_db(transaction=True)
def test_the_command_notes_when_it_was_and_replaces_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(configured.DATABASES["default"], "NAME", connection.settings_dict["NAME"])
    file, out = tmp_path / "new" / "m.dump", StringIO()
    call_command("backup", str(file), stdout=out, stderr=StringIO())
    assert out.getvalue().strip() == str(file)
    assert PortalState.objects.get().backup_bytes == file.stat().st_size
    with pytest.raises(Exception, match="there already"):
        call_command("backup", str(file), stdout=StringIO(), stderr=StringIO())


def test_no_password_is_in_an_argument_list(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(arguments: list[str], **options: object) -> subprocess.CompletedProcess:
        seen.append(arguments)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(postgres.subprocess, "run", noted)
    database = Database(name="n", host="h", port="1", user="u", password="hunter2")
    postgres.run(database, "pg_dump", "--format=custom")
    assert "hunter2" not in " ".join(seen[0]) and database.environment["PGPASSWORD"] == "hunter2"
