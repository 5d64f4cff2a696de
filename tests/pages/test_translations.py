"""Chinese is complete, and templates say nothing outside gettext."""
import re
from html.parser import HTMLParser
from pathlib import Path

import polib
import pytest
from django.conf import settings

CATALOGUE = Path(settings.BASE_DIR) / "portal" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))
# The same in every language.
NAMES = {"Mains", "Ctrl-Alt-Del", "GiB", "vCPU", "UTC", "PDF", "curl -H Authorization: Bearer",
         # Keys, as they are printed on keyboards.
         "Ctrl", "K", "Esc", "Alt", "F1", "F2", "F3", "F4", "F7", "Tab", "Backspace", "Escape", "Super", "Print",
         "Debian", "web-1"}  # what examples are called
# An icon is written as its name, and shown as a picture.
ICON = "material-symbols-outlined"


def test_nothing_is_untranslated_or_fuzzy() -> None:
    entries = [entry for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete]
    assert len(entries) > 500
    assert [entry.msgid for entry in entries if not entry.translated() or entry.fuzzy] == []


def test_translations_keep_their_placeholders() -> None:
    marks = re.compile(r"%\(\w+\)s|\{\w+\}")
    broken = [entry.msgid for entry in polib.pofile(str(CATALOGUE))
              if set(marks.findall(entry.msgid_plural or entry.msgid))
              != set(marks.findall(entry.msgstr_plural.get(0, "") if entry.msgid_plural else entry.msgstr))]
    assert broken == []


class Words(HTMLParser):
    """Collects what a reader would see: text and the attributes that are read aloud or shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within.append(ICON if ICON in (dict(attrs).get("class") or "") else tag)
        shown = ("title", "aria-label", "placeholder", "alt")
        self.found += [value for name, value in attrs if value and name in shown]

    def handle_endtag(self, tag: str) -> None:
        if {tag, ICON} & set(self.within):
            while self.within.pop() not in (tag, ICON):
                pass

    def handle_data(self, text: str) -> None:
        if not {"script", "style", "pre", "code", ICON} & set(self.within):
            self.found.append(text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_a_template_has_no_words_of_its_own(path: Path) -> None:
    text = re.sub(r"{#.*?#}|{% comment %}.*?{% endcomment %}", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", text, flags=re.DOTALL)
    text = re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL)
    words = Words()
    words.feed(text)
    visible = [re.sub(r"&\w+;", "", one).strip() for one in words.found]
    assert [one for one in visible if re.search(r"[A-Za-z]{2,}", one)
            and not all(word in NAMES for word in re.findall(r"[A-Za-z][\w-]*", one))] == []
