"""CSV of a list: streamed in batches, with nothing in it that a spreadsheet would take for a formula. And lines of JSON.

UTF-8 with a byte order mark, as spreadsheets want it. At most `MOST_ROWS` rows; a last line says so when there are more.
"""
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from portal.kernel.rest.rendering import as_json

BATCH, MOST_ROWS = 500, 50_000
# Where a spreadsheet begins to calculate, also by the wide signs of East Asian keyboards. A leading quote makes it text, and
# is what spreadsheets themselves write.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
Row = Sequence[object]
Batch = Callable[[str | None, int], tuple[Iterable[Row], str | None]]
Objects = Callable[[str | None, int], tuple[Iterable[dict[str, Any]], str | None]]


def cell(value: object) -> str:
    """A value as text: times in ISO 8601 UTC, nothing for None; text that looks like a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"'{text}" if text.startswith(FORMULA) and not is_number else text


def lines(rows: Iterable[Row]) -> str:
    """The rows as CSV text. All is quoted: half the world's spreadsheets split what is not at semicolons, which tags may have."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([[cell(value) for value in row] for row in rows])
    return buffer.getvalue()


def answer(name: str, heading: Row, batch: Batch) -> StreamingHttpResponse:
    """A download `<name>-<date>.csv`; `batch(cursor, limit)` gives so many rows from there and the next cursor."""
    response = StreamingHttpResponse(_stream(heading, batch, translation.get_language()),
                                     content_type="text/csv; charset=utf-8")
    return _as_file(response, f"{name}-{_today()}.csv")


def answer_lines(name: str, batch: Objects) -> StreamingHttpResponse:
    """A download `<name>-<date>.jsonl`, an object a line and every row, however many; `batch` as for CSV."""
    response = StreamingHttpResponse(_stream_lines(batch), content_type="application/jsonl; charset=utf-8")
    return _as_file(response, f"{name}-{_today()}.jsonl")


async def _stream_lines(batch: Objects) -> AsyncIterator[bytes]:
    def read(cursor: str | None) -> tuple[bytes, str | None]:
        rows, beyond = batch(cursor, BATCH)
        return b"".join(as_json(row) + b"\n" for row in rows), beyond

    cursor = None
    while True:
        text, cursor = await sync_to_async(read)(cursor)
        yield text
        if cursor is None:
            return


def _today() -> str:
    return timezone.now().strftime("%Y-%m-%d")


def _as_file(response: StreamingHttpResponse, name: str) -> StreamingHttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


async def _stream(heading: Row, batch: Batch, language: str | None) -> AsyncIterator[str]:
    def read(cursor: str | None, limit: int) -> tuple[str, int, str | None]:
        with translation.override(language):  # the request's own is gone by now
            rows, beyond = batch(cursor, limit)
            rows = list(rows)
            return lines(rows), len(rows), beyond

    yield "\ufeff" + lines([heading])
    cursor, left = None, MOST_ROWS
    while left > 0:
        text, count, cursor = await sync_to_async(read)(cursor, min(BATCH, left))
        left -= count
        yield text
        if cursor is None:
            return
    with translation.override(language):
        yield lines([[_("Only the first {most} rows. Filter the list to get the rest.").format(most=MOST_ROWS)]])
