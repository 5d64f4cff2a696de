"""The operation that writes a file: take what changes, write part after part, put them together, measure, tidy up.

No step is at it for long: it says where it is after each part, and lets others go first after a few seconds. Whoever goes on
after a killed worker begins with the part that was not finished. Undone, nothing of the file is left.
"""
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.closing import statements
from billing.exports import files, sources
from billing.exports.columns import chosen
from billing.exports.writers import WRITERS, Writer
from billing.models import Export
from portal.kernel import crash
from portal.kernel.operations import Kind, Run, Step, Wait
from portal.kernel.states import database_now

KIND = "billing.export"
PART_ROWS, READ_ROWS, TURN_S = 5_000, 50_000, 5.0
COLLECT_S = 900
"""As long may the one statement take that rates what is not invoiced."""


def _export(run: Run) -> Export:
    return Export.objects.select_related("organization").get(pk=run.arguments["export"])


def _writer(export: Export) -> Writer:
    return WRITERS[export.format](chosen(export.what, export.columns))


def collect(run: Run) -> None:
    """Say which sections there are, and write the beginning."""
    export, token = _export(run), run.operation.token
    folder = files.make_folder(export.pk)

    def keep(lines: Iterable[bytes]) -> str:
        files.keep(folder, name := f"taken.{token}", lines)
        return name

    run.extend(COLLECT_S)
    with statements.patient():
        now = datetime.fromisoformat(run.arguments["now"]) if "now" in run.arguments else database_now()
        sections = sources.collect(export, now, keep)
    crash.point("collected an export")
    state: dict[str, Any] = {}
    files.keep(folder, name := f"begin.{token}", [_writer(export).begin(state)])
    run.remember(now=now.isoformat(), sections=sections, section=0, after=None, parts=[name], rows=0, state=state)


def write(run: Run) -> Wait | None:
    """Parts, until the turn is over."""
    export, until = _export(run), time.monotonic() + TURN_S
    while run.facts["section"] < len(run.facts["sections"]):
        if _section(run, export, until):
            return _told(run, export)
    _told(run, export)
    return None


def _section(run: Run, export: Export, until: float) -> bool:
    """Parts of the section that it is at; whether the turn is over before the section is."""
    facts, read = run.facts, 0
    section, now = facts["sections"][facts["section"]], datetime.fromisoformat(run.facts["now"])
    found = sources.read(export, section, facts["after"], READ_ROWS, now, files.folder_of(export.pk))
    with closing(found):
        while part := list(islice(found, PART_ROWS)):
            _keep(run, export, [row for _place, row in part], part[-1][0])
            read += len(part)
            if time.monotonic() > until:
                return True
    if read < READ_ROWS:
        run.remember(section=facts["section"] + 1, after=None)
    return False


def _keep(run: Run, export: Export, rows: list[sources.Row], after: Any) -> None:
    """Write a part, and then that it is there."""
    facts, state = run.facts, dict(run.facts["state"])
    content = _writer(export).part(rows, state)
    run.check()
    crash.point("before a part of an export")
    files.keep(files.folder_of(export.pk), name := f"{len(facts['parts']):06}.{run.operation.token}", [content])
    crash.point("after a part of an export")
    run.remember(parts=[*facts["parts"], name], after=after, rows=facts["rows"] + len(rows), state=state)


def _told(run: Run, export: Export) -> Wait:
    """Show how far it is."""
    progress = min(99, round(100 * run.facts["section"] / len(run.facts["sections"])))
    with run.guarded():
        Export.objects.filter(pk=export.pk).update(rows=run.facts["rows"], progress=progress)
    return Wait(0, progress)


def join(run: Run) -> None:
    """Put the parts together and measure what came of it."""
    export, folder = _export(run), files.folder_of(run.arguments["export"])
    whole = folder / f"whole.{run.operation.token}"
    run.check()
    if all((folder / name).exists() for name in run.facts["parts"]):  # else it was done, and they are gone
        with files.begun(whole) as out:
            _writer(export).join([folder / name for name in run.facts["parts"]], out, run.facts["state"])
        crash.point("joined an export")
        run.check()
        whole.replace(folder / files.FILE)
    size, sha256 = files.measured(folder / files.FILE)
    run.remember(size=size, sha256=sha256)


def tidy(run: Run) -> None:
    files.clear(run.arguments["export"], but_file=True)


def remove(run: Run) -> None:
    files.clear(run.arguments["export"])


def succeeded(run: Run) -> dict[str, Any]:
    """It can be fetched; where a schedule made it, it is brought where it belongs."""
    facts, now = run.facts, database_now()
    export = Export.objects.select_for_update(no_key=True).get(pk=run.arguments["export"])
    export.state, export.finished_at, export.progress = Export.State.READY, now, 100
    export.rows, export.size, export.sha256 = facts["rows"], facts["size"], facts["sha256"]
    if export.delivery == Export.Delivery.PENDING:
        export.next_at = now
    export.save()
    return {"export": str(export.pk), "rows": export.rows, "size": export.size, "sha256": export.sha256}


def failed(run: Run, error: dict[str, Any]) -> None:
    export = Export.objects.select_for_update(no_key=True).get(pk=run.arguments["export"])
    export.state, export.finished_at, export.error = Export.State.FAILED, database_now(), error
    if export.delivery == Export.Delivery.PENDING:
        export.delivery = Export.Delivery.FAILED
    export.save()


LIMIT_S = 4 * 3600
WRITE = Kind(
    name=KIND, label=_("Export"), deadline_s=2 * LIMIT_S, succeeded=succeeded, failed=failed,
    steps=(Step("collect", collect, undo=remove, limit_s=LIMIT_S), Step("write", write, limit_s=LIMIT_S),
           Step("join", join, limit_s=LIMIT_S), Step("tidy", tidy)),
    step_labels={"collect": _("Read what is not invoiced"), "write": _("Write the rows"), "join": _("Put the file together"),
                 "tidy": _("Tidy up")})
