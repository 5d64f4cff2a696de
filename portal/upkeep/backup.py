"""A backup: PostgreSQL's own dump in one file, and a manifest beside it that says what it is.

The master keys are not in it (nor anywhere in the database), so that a stolen copy opens no host: keep `MASTER_KEYS`
elsewhere. The manifest holds a word encrypted with them, by which `restore` knows whether the keys at hand are the right ones.
What is on hosts and in pools (disks of instances, images) is not in it either: tenants' data are backed up by their own means.
"""
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.fernet import InvalidToken
from django.db.migrations.loader import MigrationLoader

from portal.kernel.secrets import keyring
from portal.upkeep import postgres
from portal.upkeep.postgres import Database

FORMAT = 1
CANARY = "mains"


class Refused(Exception):
    """The backup cannot be used, or not here and now; nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What lies beside the dump as FILE.json."""

    format: int
    made_at: str
    database: str
    server: int
    bytes: int
    sha256: str
    migrations: dict[str, list[str]]
    canary: str


def make(database: Database, file: Path) -> Manifest:
    """Dump the database to `file`, readable by its owner alone; what an interrupted one left has another name.

    Raises ToolFailed, and Refused for a file that is there already. The dump is of one moment; the portal may go on working.
    """
    if file.exists() or manifest_of(file).exists():
        raise Refused(f"{file} is there already; a backup never replaces another.")
    server, made_at = postgres.server_version(database), datetime.now(UTC)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.part")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    # What is cached is worth nothing tomorrow; of measurements the sums stay, and samples would be most of all that there is.
    postgres.run(database, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--exclude-table-data=cache",
                 "--exclude-table-data=monitoring_sample*", f"--file={draft}", server=server)
    manifest = Manifest(format=FORMAT, made_at=made_at.isoformat(timespec="seconds"), database=database.name, server=server,
                        bytes=draft.stat().st_size, sha256=sha256(draft), migrations=applied(database),
                        canary=keyring().encrypt(CANARY.encode()).decode())
    _persist(draft)
    draft.replace(file)
    _write(manifest_of(file), json.dumps(asdict(manifest), indent=1) + "\n")
    _persist(file.parent)
    return manifest


def manifest_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def verify(file: Path) -> Manifest:
    """The manifest of a backup that is whole, of a version that we know, and of our keys. Raises Refused."""
    manifest = _read(file)
    if manifest.format != FORMAT:
        raise Refused(f"{file}: format {manifest.format} is not known to this version of Mains.")
    if not file.is_file() or file.stat().st_size != manifest.bytes or sha256(file) != manifest.sha256:
        raise Refused(f"{file} is not what its manifest describes: it is truncated or was changed.")
    if unknown := unknown_migrations(manifest.migrations):
        raise Refused(f"The backup was made by a newer version of Mains (it has {', '.join(unknown[:5])}): "
                      "restore it with that version or a later one.")
    try:
        keyring().decrypt(manifest.canary.encode())
    except InvalidToken:
        raise Refused("None of the present MASTER_KEYS can read the secrets in this backup: bring the keys that were in "
                      "use when it was made.") from None
    return manifest


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def applied(database: Database) -> dict[str, list[str]]:
    """Migrations that the database has, by app."""
    found: dict[str, list[str]] = {}
    with database.connect() as connection:
        for app, name in connection.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall():
            found.setdefault(app, []).append(name)
    return found


def unknown_migrations(migrations: dict[str, list[str]]) -> list[str]:
    """Those that this version of the code does not have."""
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    replaced = {key for migration in known.values() for key in migration.replaces}
    return [f"{app}.{name}" for app, names in migrations.items() for name in names
            if (app, name) not in known and (app, name) not in replaced]


def pending_migrations(migrations: dict[str, list[str]]) -> list[str]:
    """Those that this version of the code wants and the database does not have."""
    there = {(app, name) for app, names in migrations.items() for name in names}
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return sorted(f"{app}.{name}" for app, name in known.keys() - there)


def _read(file: Path) -> Manifest:
    try:
        return Manifest(**json.loads(manifest_of(file).read_text()))
    except FileNotFoundError:
        raise Refused(f"{manifest_of(file)} is missing: a backup is the two files that `manage.py backup` wrote.") from None
    except (ValueError, TypeError) as error:
        raise Refused(f"{manifest_of(file)} is not a manifest: {error}") from None


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)


def _persist(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
