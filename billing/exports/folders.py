"""Leaving a file in a folder of the portal's, where the operator's own means take it from (a bucket mounted there, SFTP, …).

Below the directory that the operator names each organization has one, called by its id, and in it the folders that it named
itself. Every step down is taken from the directory before it and through no link, so no name leads anywhere else.
"""
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,58}[a-z0-9])?")


def are_offered() -> bool:
    return bool(settings.EXPORTS["folders"])


def is_name(text: str) -> bool:
    """Lower-case letters, digits, - and _: nothing that means anything to a file system."""
    return NAME.fullmatch(text) is not None


def leave(source: Path, organization: UUID, folder: str, name: str) -> None:
    """Copy the file there; it appears whole. Raises OSError."""
    if not is_name(folder) or "/" in name:
        raise ValueError(folder)
    opened: list[int] = []
    try:
        opened.append(os.open(settings.EXPORTS["folders"], os.O_RDONLY | os.O_DIRECTORY))
        for part in (str(UUID(str(organization))), folder):
            opened.append(_below(opened[-1], part))
        new = os.open(f".{name}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640, dir_fd=opened[-1])
        with source.open("rb") as file, os.fdopen(new, "wb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())
        os.replace(f".{name}.new", name, src_dir_fd=opened[-1], dst_dir_fd=opened[-1])
    finally:
        for one in opened:
            os.close(one)


def _below(directory: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o750, dir_fd=directory)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
