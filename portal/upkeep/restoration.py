"""Restoring a backup, all or nothing: into a database beside the present one, which then takes its name.

Until the last statement the present database is untouched, and afterwards it is kept under another name.

What must not go back, goes forward (`LEAPS`): the outside world saw numbers in the lost time that the backup does not
know of. Workers of the lost time hold operation tokens, hosts know generations of instances, the fabric revisions of VPCs,
clients versions of resources. Each is raised so far beyond that nothing of the lost time can pass for new. Sessions,
console tickets and remembered answers are dropped: what was signed out or answered in the lost time must not come back.
The restored portal is in maintenance, so that a person looks before hosts are made to match.
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from cryptography.fernet import InvalidToken
from django.apps import apps
from psycopg import sql

from portal.kernel import crash
from portal.kernel.secrets import encrypted_fields, keyring
from portal.upkeep import backup, postgres
from portal.upkeep.backup import Manifest, Refused
from portal.upkeep.postgres import Database

FAR = 1_000_000
# Table, column, and which rows.
LEAPS = (
    ("kernel_operation", "token", "state IN ('queued', 'running')"),
    ("kernel_resource", "version", "true"),
    ("instances_instance", "generation", "true"),
    ("network_vpc", "revision", "true"),
    ("network_addresspool", "revision", "true"),
)
GENERATION_MEANT = """
UPDATE kernel_operation
   SET arguments = jsonb_set(arguments, '{generation}', to_jsonb((arguments->>'generation')::bigint + %s))
 WHERE state IN ('queued', 'running') AND arguments ? 'generation'
"""
# Whoever held a lease is of the lost time.
LEASES = "UPDATE kernel_operation SET lease_until = NULL, updated_at = clock_timestamp() WHERE state IN ('queued', 'running')"
FORGOTTEN = ("tenants_browsersession", "console_consoleticket", "console_consolelink", "kernel_idempotencykey")
LIVE = "SELECT count(*) FROM kernel_operation WHERE state IN ('queued', 'running')"
# Two restores of one database at a time would take each other's draft.
LOCK = "SELECT pg_try_advisory_lock(hashtext(%s))"


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was done."""

    manifest: Manifest
    kept_as: str | None
    pending: list[str]
    raised: dict[str, int] = field(default_factory=dict)


def restore(database: Database, file: Path, *, even_if_in_use: bool = False, say: Callable[[str], object] = print) -> Restored:
    """Replace `database` by the backup. Raises Refused or ToolFailed with nothing changed."""
    manifest = backup.verify(file)
    postgres.run(database, "pg_restore", "--list", str(file))  # an unreadable table of contents ends here
    with database.called(postgres.ELSEWHERE).connect() as guard:
        if not guard.execute(LOCK, [f"mains restore {database.name}"]).fetchone()[0]:
            raise Refused("Another restore of this database is at work.")
        there = postgres.exists(database)
        if there and not even_if_in_use:
            _refuse_if_in_use(database)
        draft = database.called(f"{database.name}_restoring")
        say("Restoring into a database beside the present one")
        postgres.create_empty(draft)
        try:
            return _fill_and_swap(database, draft, file, manifest, there, say)
        except BaseException:
            postgres.drop(draft)
            raise


def _fill_and_swap(database: Database, draft: Database, file: Path, manifest: Manifest, there: bool,
                   say: Callable[[str], object]) -> Restored:
    postgres.run(draft, "pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--no-comments",
                 f"--dbname={draft.name}", str(file), server=postgres.server_version(draft))
    crash.point("restored beside")
    with draft.connect() as connection:
        say(f"Reading {_read_secrets(connection)} secrets with the present master keys")
        with connection.transaction():
            raised = _amend(connection, manifest)
    crash.point("before the swap")
    aside = database.called(f"{database.name}_before_{datetime.now(UTC):%Y%m%d%H%M%S}")
    postgres.put_in_place(draft, database, aside)
    return Restored(manifest=manifest, kept_as=aside.name if there else None, raised=raised,
                    pending=backup.pending_migrations(manifest.migrations))


def _refuse_if_in_use(database: Database) -> None:
    with database.connect() as connection:
        live = connection.execute(LIVE).fetchone()[0] if postgres.has_table(connection, "kernel_operation") else 0
    if live:
        raise Refused(f"{live} operations are under way in the present database; their work on hosts would be forgotten. Let "
                      "them end (do not drain: drained ones wait), or say --even-if-in-use.")
    if others := postgres.sessions(database):
        raise Refused(f"The present database is in use by {', '.join(sorted(set(others)))}: stop the portal (web, console, "
                      "workers, beat, watcher), or say --even-if-in-use to cut them off.")


def _read_secrets(connection: psycopg.Connection) -> int:
    """Decrypt every secret in the dump. Raises Refused naming the first that the present keys do not open."""
    count = 0
    for model in apps.get_models():
        table = model._meta.db_table
        for column in encrypted_fields(model):
            if not postgres.has_table(connection, table, [column]):
                continue
            question = sql.SQL("SELECT {0} FROM {1} WHERE {0} <> ''").format(sql.Identifier(column), sql.Identifier(table))
            for (value,) in connection.execute(question).fetchall():
                try:
                    keyring().decrypt(value.encode())
                except InvalidToken:
                    raise Refused(f"A secret in {table}.{column} cannot be read with the present MASTER_KEYS.") from None
                count += 1
    return count


def _amend(connection: psycopg.Connection, manifest: Manifest) -> dict[str, int]:
    """Raise what must not go back, drop what must not come back, begin maintenance. Fits dumps of older versions."""
    raised = {}
    for table, column, rows in LEAPS:
        if postgres.has_table(connection, table, [column]):
            names = {"table": sql.Identifier(table), "column": sql.Identifier(column), "rows": sql.SQL(rows)}
            raised[f"{table}.{column}"] = connection.execute(
                sql.SQL("UPDATE {table} SET {column} = {column} + %s WHERE {rows}").format(**names), [FAR]).rowcount
    connection.execute(GENERATION_MEANT, [FAR])
    connection.execute(LEASES)
    for table in FORGOTTEN:
        if postgres.has_table(connection, table):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    if postgres.has_table(connection, "kernel_portalstate"):
        moment = datetime.fromisoformat(manifest.made_at)
        connection.execute(
            "INSERT INTO kernel_portalstate AS s (id, draining_since, reason, backup_at, backup_bytes, restored_at) "
            "VALUES (1, now(), %(reason)s, %(at)s, %(bytes)s, now()) ON CONFLICT (id) DO UPDATE SET draining_since = now(), "
            "reason = %(reason)s, restored_at = now(), backup_at = greatest(s.backup_at, %(at)s), backup_bytes = %(bytes)s",
            {"reason": f"{moment:%Y-%m-%d %H:%M} UTC: backup restored", "at": manifest.made_at, "bytes": manifest.bytes})
    return raised
