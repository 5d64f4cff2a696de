"""The page that tells how to install the program, and the file as it is fetched."""
import hashlib

import pytest
from django.test import Client

from tests.cast import make_cast
from tests.cli.conftest import FILE


@pytest.fixture(autouse=True)
def collected(settings) -> None:
    """Pages name static files, which need not be collected here."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


def test_anybody_fetches_the_file_and_learns_when_it_is_the_same() -> None:
    answer = Client().get("/cli/mains")
    digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert answer.status_code == 200 and answer.content == FILE.read_bytes()
    assert answer["Content-Type"] == "text/x-python; charset=utf-8" and answer["ETag"] == f'"{digest}"'
    again = Client().get("/cli/mains", headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304 and again.content == b""
    assert Client().get("/cli/mains", headers={"If-None-Match": '"other"'}).status_code == 200
    assert Client().post("/cli/mains").status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_page_shows_two_lines_and_the_digest(language: str) -> None:
    answer = Client().get("/cli/", headers={"Accept-Language": language})
    text = answer.content.decode()
    assert answer.status_code == 200 and hashlib.sha256(FILE.read_bytes()).hexdigest() in text
    assert "mains login http" in text and "/cli/mains" in text and "chmod +x" in text
    signed_in = Client()
    signed_in.force_login(make_cast().alice)
    assert "mains login http" in signed_in.get("/cli/").content.decode()


@pytest.mark.django_db
def test_it_is_found_from_the_keys_and_from_the_frame() -> None:
    client = Client()
    client.force_login(make_cast().alice)
    text = client.get("/api-keys/").content.decode()
    assert text.count('href="/cli/"') >= 2


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "word"), [("en", "Create an instance"), ("zh-hans", "创建实例")])
def test_the_reference_is_what_the_program_says(program, language: str, word: str) -> None:
    text = Client().get("/cli/commands/", headers={"Accept-Language": language}).content.decode()
    assert word in text and "<h3>mains instance create</h3>" in text
    for kind in program.RESOURCES:
        assert f'<h2 id="{kind}"' in text and f'href="#{kind}"' in text
