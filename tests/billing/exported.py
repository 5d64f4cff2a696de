"""Exports written as workers would, and read as customers do: each format by a reader that is not ours."""
import csv
import io
import json
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from openpyxl import load_workbook

from billing.exports import files
from billing.exports.verbs import request_export
from billing.models import Export
from portal.kernel.operations import engine
from tests.billing.lamps import Shop

ROUNDS = 500


def work(rounds: int = ROUNDS) -> None:
    """Go on until nothing is due."""
    for _round in range(rounds):
        if not engine.advance():
            return
    raise AssertionError("operations never end")


def ask(shop: Shop, what: str = "focus", format: str = "csv", first: str = "2026-10", last: str = "", **further: Any) -> Export:
    return request_export(shop.cast.organization, what=what, format=format, first_month=first, last_month=last,
                          actor=shop.cast.alice, **further)


def export(shop: Shop, *arguments: str, **further: Any) -> Export:
    """Asked for and written."""
    found = ask(shop, *arguments, **further)
    work()
    found.refresh_from_db()
    assert (found.state, found.error) == ("ready", None)
    return found


def content(found: Export) -> bytes:
    return files.file_of(found.pk).read_bytes()


def rows(found: Export) -> list[dict[str, Any]]:
    """The file's rows; nothing is None."""
    raw = content(found)
    if found.format == "csv":
        return [{name: value or None for name, value in row.items()}
                for row in csv.DictReader(io.StringIO(raw.decode("utf-8-sig")))]
    if found.format == "json":
        return [json.loads(line) for line in raw.splitlines()]
    return [row for lines in sheets(files.file_of(found.pk)).values() for row in lines]


def sheets(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Each sheet's rows, in their order."""
    found: dict[str, list[dict[str, Any]]] = {}
    with path.open("rb") as file:
        for one in load_workbook(file, read_only=True):
            heading, *lines = one.iter_rows(values_only=True)
            found[one.title] = [dict(zip(heading, line, strict=True)) for line in lines]
    return found


def left(found: Export) -> list[str]:
    """Names of the files that there are of it."""
    folder = files.folder_of(found.pk)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fetched(answer: Any) -> bytes:
    """What a download brings."""
    async def whole() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(whole)()
