"""Where exports lie: a directory for each, named by its id, that nobody but the portal reads. Nobody typed any part of a path.

Files appear whole: they are written under another name and renamed. Two that write the same part never mix, since the names of
parts carry the token of who writes.
"""
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

BLOCK = 1024 * 1024
FILE = "file"


def folder_of(pk: UUID | str) -> Path:
    return Path(settings.EXPORTS["directory"]) / str(UUID(str(pk)))


def file_of(pk: UUID | str) -> Path:
    return folder_of(pk) / FILE


def make_folder(pk: UUID | str) -> Path:
    folder = folder_of(pk)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def folders() -> list[Path]:
    """Of all exports that have any."""
    root = Path(settings.EXPORTS["directory"])
    return [path for path in root.iterdir() if is_id(path.name)] if root.exists() else []


def is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def keep(folder: Path, name: str, content: Iterable[bytes]) -> None:
    """Write the file, wholly or not at all."""
    with begun(folder / f"{name}.new") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    (folder / f"{name}.new").replace(folder / name)


def begun(path: Path) -> BinaryIO:
    """A new file that nobody else reads, also where one of that name was left."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w+b")


def measured(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
            size += len(block)
    return size, found.hexdigest()


def clear(pk: UUID | str, *, but_file: bool = False) -> None:
    """Remove the parts, or all of it. Safe to repeat."""
    folder = folder_of(pk)
    if not but_file:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.name != FILE:
            path.unlink(missing_ok=True)
