"""Compiling the translations, with gettext's own msgfmt: the compiled files are not checked in."""

from . import progress
from .stage import ROOT, VAR

LOCALE = ROOT / "portal" / "locale"


def ensure() -> None:
    """Compile every catalogue that is newer than its compiled form."""
    for source in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        compiled = source.with_suffix(".mo")
        if not compiled.exists() or compiled.stat().st_mtime <= source.stat().st_mtime:
            command = ["msgfmt", "--check-format", "-o", str(compiled), str(source)]
            progress.run(
                f"Compiling translations: {source.relative_to(LOCALE)}", command, log=VAR / "log" / "translations.log"
            )
