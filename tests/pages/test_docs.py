"""The documentation: whole in both languages, without dead links, open to everybody."""
import re

import pytest
from django.test import Client
from django.utils.translation import override

from portal import manual

PAGES = [(guide.name, page) for guide in manual.GUIDES for page in guide.pages]


def source(language: str, guide: str, page: str) -> str:
    return (manual.ROOT / language / f"{guide}-{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", manual.LANGUAGES.values())
def test_every_file_is_a_page_of_a_guide(language: str) -> None:
    assert {path.stem for path in (manual.ROOT / language).glob("*.md")} == {f"{guide}-{page}" for guide, page in PAGES}


@pytest.mark.parametrize(("guide", "page"), PAGES)
def test_both_languages_say_the_same_things(guide: str, page: str) -> None:
    """The same sections, the same blocks of code, the same screens, the same rows of tables."""
    def shape(text: str) -> list[object]:
        return [[len(mark) for mark in re.findall(r"^(#+) ", text, re.M)], len(re.findall(r"^```", text, re.M)),
                re.findall(r"\]\(([^)]+)\)", text), len(re.findall(r"^\|", text, re.M))]
    english, chinese = source("en", guide, page), source("zh", guide, page)
    assert shape(english) == shape(chinese)
    assert re.search(r"[\u4e00-\u9fff]", chinese.splitlines()[0])
    assert not re.search(r"[\u4e00-\u9fff]", english)


@pytest.mark.parametrize("language", manual.LANGUAGES.values())
def test_links_and_screens_are_there(language: str) -> None:
    for guide, page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", source(language, guide, page)):
            assert "://" in target or (manual.ROOT / language / target).exists(), f"{guide}-{page}: {target}"


def test_no_screen_lies_there_for_nothing() -> None:
    for language in manual.LANGUAGES.values():
        used = {name for guide, page in PAGES for name in re.findall(r"\(screens/([^)]+)\)", source(language, guide, page))}
        assert {path.name for path in (manual.ROOT / language / "screens").iterdir()} == used


@pytest.mark.django_db
@pytest.mark.parametrize("language", manual.LANGUAGES)
def test_everybody_reads_every_page(client: Client, language: str) -> None:
    for guide, page in PAGES:
        chapter = manual.chapter(guide, page, language)
        answer = client.get(f"/docs/{guide}/{page}/", headers={"Accept-Language": language})
        assert answer.status_code == 200
        text = answer.content.decode()
        assert f"<title>{chapter.title} · Mains</title>" in text and "style=" not in text
    assert client.get("/docs/", headers={"Accept-Language": language}).status_code == 200
    assert client.get("/docs/tenant/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["nothing/", "tenant/nothing/", "tenant/first-instance/more/", "../", "tenant/operator-start/"])
def test_what_is_not_written_is_absent(client: Client, path: str) -> None:
    assert client.get(f"/docs/{path}").status_code == 404


@pytest.mark.django_db
def test_words_find_the_page_that_says_them(client: Client) -> None:
    assert manual.found("trial credit")[0].page in ("billing", "first-instance")
    assert manual.found("<script>") == manual.found("") == []
    with override("zh-hans"):
        assert "networks" in [chapter.page for chapter in manual.found("安全组")]
    assert "Networks" in client.get("/docs/?q=security+rules").content.decode()


@pytest.mark.django_db
def test_every_error_is_explained(client: Client) -> None:
    text = client.get("/docs/api/errors/").content.decode()
    for code in ("quota_exceeded", "no_credit", "not_found"):
        assert f"<code>{code}</code>" in text
