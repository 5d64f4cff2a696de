"""How a format writes rows: a beginning, parts one after the other, an end. A part needs nothing of the others but, in XLSX, the
checksums so far, so that a file of a million rows is written by whoever is there, a part at a time.

XLSX is a workbook of openpyxl's, with nothing but headings in it, whose sheets get the rows: where one is full, they go on in the
next. They are compressed part by part (each ends where DEFLATE can be cut), and the file is put together without being compressed
again.

No text is a formula where a spreadsheet opens it. Amounts are text in JSON; in XLSX they are numbers while 15 digits suffice,
which is all that a spreadsheet keeps, and text beyond.
"""
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

from openpyxl import Workbook

from billing.exports.columns import NUMBERS
from billing.models.exports import Format
from portal.kernel.lists.export import cell
from portal.kernel.rest.rendering import as_json

Row = Mapping[str, str | None]
MOST_SHEET_ROWS = 1_048_576
"""Of a sheet, the heading among them."""
EXACT_DIGITS, LONGEST_CELL, BLOCK = 15, 32_767, 1024 * 1024
SHEET, ROWS_END = "xl/worksheets/sheet{}.xml", b"</sheetData>"
PROPERTIES, MOMENT = "docProps/core.xml", re.compile(rb"\d{4}-\d\d-\d\dT[\d:]+Z")
LONG_AGO = (1980, 1, 1, 0, 0, 0)
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Writer:
    """Writes rows of the given columns. `state` is what the next part must know; it is kept as JSON."""

    media_type = "application/octet-stream"

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def begin(self, state: dict[str, Any]) -> bytes:
        return b""

    def part(self, rows: Sequence[Row], state: dict[str, Any]) -> bytes:
        raise NotImplementedError

    def join(self, parts: Sequence[Path], out: BinaryIO, state: dict[str, Any]) -> None:
        """Put the parts together, the beginning among them."""
        for block in _blocks(parts):
            out.write(block)


class Csv(Writer):
    """UTF-8 with a byte order mark, all quoted."""

    media_type = "text/csv; charset=utf-8"

    def begin(self, state: dict[str, Any]) -> bytes:
        return ("\ufeff" + heading(self.columns)).encode()

    def part(self, rows: Sequence[Row], state: dict[str, Any]) -> bytes:
        return "".join(csv_line(row, self.columns) for row in rows).encode()


class Json(Writer):
    """JSON lines: an object a line. Amounts are text, what is missing is null."""

    media_type = "application/jsonl; charset=utf-8"

    def part(self, rows: Sequence[Row], state: dict[str, Any]) -> bytes:
        return b"".join(as_json({name: row[name] for name in self.columns}) + b"\n" for row in rows)


class Xlsx(Writer):
    """As many sheets as it takes, each with the heading. `state` has how many rows the last has, and what each one's entry in the
    archive says."""

    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def begin(self, state: dict[str, Any]) -> bytes:
        state |= {"rows": 1, "sheets": [*state.get("sheets", ()), {"crc": 0, "length": 0, "size": 0}]}
        return self._squeezed(self._sheet()[0], state, is_last=False)

    def part(self, rows: Sequence[Row], state: dict[str, Any]) -> bytes:
        found = []
        while rows:
            if state["rows"] == MOST_SHEET_ROWS:
                found += [self._squeezed(self._sheet()[1], state, is_last=True), self.begin(state)]
            fitting = rows[:MOST_SHEET_ROWS - state["rows"]]
            found.append(self._squeezed("".join(map(self._row, fitting)).encode(), state, is_last=False))
            state["rows"], rows = state["rows"] + len(fitting), rows[len(fitting):]
        return b"".join(found)

    def join(self, parts: Sequence[Path], out: BinaryIO, state: dict[str, Any]) -> None:
        ended = dict(state)
        end = self._squeezed(self._sheet()[1], ended, is_last=True)
        sheets = {SHEET.format(number): sheet for number, sheet in enumerate(ended["sheets"], 1)}
        blocks = chain(_blocks(parts), [end])
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
            for name, content in self._book(len(sheets)).items():
                if name not in sheets:
                    book.writestr(zipfile.ZipInfo(name, LONG_AGO), content, zipfile.ZIP_DEFLATED)
            for name, sheet in sheets.items():
                info = zipfile.ZipInfo(name, LONG_AGO)
                info.compress_type, info.header_offset = zipfile.ZIP_DEFLATED, book.start_dir
                info.CRC, info.file_size, info.compress_size = sheet["crc"], sheet["length"], sheet["size"]
                out.seek(info.header_offset)
                out.write(info.FileHeader())
                blocks = _copied(blocks, sheet["size"], out)
                # What ZipFile would note down of a member that it had compressed itself.
                book.start_dir = out.tell()
                book.filelist.append(info)
                book.NameToInfo[name] = info

    def _row(self, row: Row) -> str:
        return f"<row>{''.join(_cell(name, row[name]) for name in self.columns)}</row>"

    def _sheet(self) -> list[bytes]:
        """What is before the rows, and after them: of each sheet the same."""
        before, after = self._book(1)[SHEET.format(1)].split(ROWS_END)
        return [before, ROWS_END + after]

    def _book(self, sheets: int) -> dict[str, bytes]:
        workbook, saved = Workbook(write_only=True), io.BytesIO()
        for number in range(1, sheets + 1):
            sheet = workbook.create_sheet("Mains" if number == 1 else f"Mains {number}")
            sheet.freeze_panes = "A2"
            sheet.append(list(self.columns))
        workbook.save(saved)
        with zipfile.ZipFile(saved) as book:
            found = {name: book.read(name) for name in book.namelist()}
        # openpyxl notes down when it wrote: the same rows are the same file, whoever writes them.
        return found | {PROPERTIES: MOMENT.sub(b"2000-01-01T00:00:00Z", found[PROPERTIES])}

    def _squeezed(self, raw: bytes, state: dict[str, Any], *, is_last: bool) -> bytes:
        """Of the sheet that it is at, the last. What `state` was before stays whole: the part may have to be written again."""
        press = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        found = press.compress(raw) + press.flush(zlib.Z_FINISH if is_last else zlib.Z_FULL_FLUSH)
        *before, sheet = state["sheets"]
        state["sheets"] = [*before, {"crc": zlib.crc32(raw, sheet["crc"]), "length": sheet["length"] + len(raw),
                                     "size": sheet["size"] + len(found)}]
        return found


WRITERS: Mapping[str, type[Writer]] = {Format.CSV: Csv, Format.JSON: Json, Format.XLSX: Xlsx}


def heading(columns: Sequence[str]) -> str:
    return _csv([columns])


def csv_line(row: Row, columns: Sequence[str]) -> str:
    return _csv([[row[name] or "" if name in NUMBERS else cell(row[name]) for name in columns]])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(rows)
    return buffer.getvalue()


def _cell(name: str, value: str | None) -> str:
    if value is None:
        return "<c/>"
    if name in NUMBERS and len(Decimal(value).normalize().as_tuple().digits) <= EXACT_DIGITS:
        return f"<c><v>{value}</v></c>"
    text = value if name in NUMBERS else cell(value)
    text = NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)[:LONGEST_CELL]
    space = ' xml:space="preserve"' if "\n" in text or text != text.strip() else ""
    return f'<c t="inlineStr"><is><t{space}>{escape(text)}</t></is></c>'


def _blocks(parts: Sequence[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(BLOCK):
                yield block


def _copied(blocks: Iterator[bytes], size: int, out: BinaryIO) -> Iterator[bytes]:
    """Copy so many bytes; what follows them."""
    rest = b""
    while size:
        block = next(blocks)
        taken, rest = block[:size], block[size:]
        out.write(taken)
        size -= len(taken)
    return chain([rest], blocks)
