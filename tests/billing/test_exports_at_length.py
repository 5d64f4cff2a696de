"""A month of very many lines takes whoever writes it no more memory than a short one does: 20,000 lines as a rule, 1,000,000 in a
soak."""
import gc
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from billing.closing import statements
from billing.exports import files
from billing.models import Charge, Export
from tests.billing.exported import ask, work
from tests.billing.lamps import Shop
from tests.billing.months import close, october
from tests.soak import SOAKING

LINES, LAMPS, MOST_MIB = (1_000_000 if SOAKING else 20_000), 100, 80
USED = """
INSERT INTO billing_usageinterval (id, resource_id, project_id, region_id, meter, sku, quantity, period)
SELECT gen_random_uuid(), lamp.id, lamp.project_id, lamp.region_id, 'lamp', 'small', 1,
       tstzrange(since, since + interval '60 seconds')
FROM kernel_resource AS lamp, generate_series(0, %s - 1) AS number,
     LATERAL (SELECT %s::timestamptz + number * interval '61 seconds' AS since) AS moment
WHERE lamp.kind = 'lamp'
"""


@pytest.fixture(autouse=True)
def directory(settings, tmp_path: Path) -> None:
    settings.DOORBELLS = False
    settings.EXPORTS = settings.EXPORTS | {"directory": tmp_path, "a_day": 0}


@pytest.fixture
def long(shop: Shop) -> Shop:
    for number in range(LAMPS):
        shop.lamp(f"lamp-{number}", tags={"row": str(number)})
    with statements.patient(), connection.cursor() as cursor:
        cursor.execute(USED, [LINES // LAMPS, october(2)])
        cursor.execute("ANALYZE billing_usageinterval")
    return shop


def grown(work: Callable[[], object]) -> float:
    """By how many MiB the process was greater than before, at the most."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _resident("VmRSS")
    work()
    return (_resident("VmHWM") - before) / 1024


def _resident(name: str) -> int:
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))


def written(shop: Shop, what: str, format: str) -> Export:
    """How much memory and time it took is said, and bounded."""
    found, begun = ask(shop, what, format), time.monotonic()
    mib = grown(lambda: work(100_000))
    found.refresh_from_db()
    print(f"\n{what} {format}: {found.rows} rows, {found.size / 2**20:.0f} MiB, in {time.monotonic() - begun:.0f} s"
          f" with {mib:.0f} MiB of memory")
    assert (found.state, found.error) == ("ready", None)
    assert mib < MOST_MIB
    return found


def lines_of(found: Export) -> int:
    """Read as it was written: not at once."""
    if found.format != "xlsx":
        with files.file_of(found.pk).open("rb") as file:
            return sum(1 for _line in file) - (found.format == "csv")
    count, rest = 0, b""
    with zipfile.ZipFile(files.file_of(found.pk)) as book:
        for name in book.namelist():
            if name.startswith("xl/worksheets/"):
                with book.open(name) as sheet:  # which checks its sum
                    while block := sheet.read(2**20):
                        count += (rest + block).count(b"<row>")
                        rest = block[-4:]
    return count


def test_no_format_takes_more_memory_for_more_lines(long: Shop) -> None:
    written(long, "invoices", "xlsx")  # what is imported once is imported now
    found = written(long, "usage", "csv")
    assert (found.rows, lines_of(found)) == (LINES, LINES)
    open_ones = written(long, "focus", "json")
    assert open_ones.rows == LINES
    close(long, now=october(31) + timedelta(days=3))
    charges = Charge.objects.count()
    assert charges >= LINES
    for format in ("csv", "xlsx", "json"):
        found = written(long, "focus", format)
        assert found.rows == lines_of(found) >= charges
        files.clear(found.pk)
