"""What is vendored is what VENDOR.md says, to the last byte; pages load nothing from elsewhere."""
import hashlib
import re
from pathlib import Path

from django.conf import settings

VENDOR = Path(settings.BASE_DIR) / "static" / "vendor"
LISTED = dict(re.findall(r"^- `([^`]+)` ([0-9a-f]{64})$", (VENDOR / "VENDOR.md").read_text(), re.MULTILINE))


def test_every_vendored_file_has_the_listed_hash() -> None:
    found = {str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in VENDOR.rglob("*") if path.is_file() and path.name != "VENDOR.md"}
    assert found == LISTED


def test_templates_carry_no_inline_style_or_script_and_no_foreign_address() -> None:
    for path in (Path(settings.BASE_DIR) / "templates").rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|(?:src|href)=[\"'](?:https?:)?//", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path


def test_every_icon_that_templates_name_is_in_the_sprite() -> None:
    sprite = (VENDOR / "tabler-icons-3.51.0" / "sprite.svg").read_text()
    names = {name for path in (Path(settings.BASE_DIR) / "templates").rglob("*.html")
             for name in re.findall(r'{% icon "([a-z0-9-]+)"', path.read_text())}
    assert names
    assert {name for name in names if f'id="{name}"' not in sprite} == set()
