"""Where the key is kept, and that it goes only to the portal that it was stored with."""
import json

import pytest

from tests.cli.conftest import KEY, Stub

ME = {"id": "11111111-1111-4111-8111-111111111111", "username": "demo", "email": "", "api_key": None, "organizations": [],
      "projects": []}


@pytest.fixture
def config(tmp_path):
    return tmp_path / "config" / "mains" / "config.json"


@pytest.fixture
def portal(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """The stub, of which nothing is known yet."""
    monkeypatch.delenv("MAINS_URL")
    monkeypatch.delenv("MAINS_API_KEY")
    stub.answers["GET", "me/"] = (200, ME)
    return stub


def test_login_keeps_address_and_key_where_only_the_owner_reads(mains, portal: Stub, config) -> None:
    said = mains("login", portal.url + "/api/v1/", stdin=KEY + "\n")
    assert said.code == 0 and KEY not in said.out + said.err
    assert config.stat().st_mode & 0o777 == 0o600 and config.parent.stat().st_mode & 0o077 == 0
    assert json.loads(config.read_text())["profiles"]["default"] == {"url": portal.url, "api_key": KEY}
    assert mains("me").code == 0 and portal.asked[-1].headers["Authorization"] == f"Bearer {KEY}"


def test_a_refused_key_is_not_kept(mains, portal: Stub, config) -> None:
    portal.answers["GET", "me/"] = (401, {"title": "Sign in first", "code": "not_authenticated"})
    assert mains("login", portal.url, stdin=KEY + "\n").code == 3 and not config.exists()


def test_the_key_is_no_argument(mains, portal: Stub) -> None:
    assert mains("login", portal.url, KEY).code == 2 and mains("login", portal.url, "--api-key", KEY).code == 2
    assert portal.asked == []


@pytest.mark.parametrize("how", ["environment", "option"])
def test_a_stored_key_goes_to_no_other_address(mains, portal: Stub, other: Stub, monkeypatch, how: str) -> None:
    mains("login", portal.url, stdin=KEY + "\n")
    if how == "environment":
        monkeypatch.setenv("MAINS_URL", other.url)
    said = mains("me", *(["--url", other.url] if how == "option" else []))
    assert said.code == 2 and other.asked == [] and "No API key" in said.err


def test_several_profiles(mains, portal: Stub, other: Stub, config) -> None:
    other.answers["GET", "me/"] = (200, ME | {"username": "second"})
    mains("login", portal.url, stdin=KEY + "\n")
    mains("login", other.url, "--profile", "second", "--project", "Default", stdin="mns_second\n")
    assert "second" in mains("me").out and "demo" in mains("me", "--profile", "default").out
    assert mains("profile", "use", "default").code == 0 and "demo" in mains("me").out
    listed = mains("profile", "list")
    assert portal.url in listed.out and other.url in listed.out and KEY not in listed.out
    assert KEY not in mains("profile", "list", "--json").out
    assert mains("me", "--profile", "third").code == 2 and mains("profile", "use", "third").code == 2
    assert mains("logout", "--profile", "second").code == 0 and "second" not in json.loads(config.read_text())["profiles"]


def test_a_file_that_others_could_read_is_closed(mains, portal: Stub, config) -> None:
    mains("login", portal.url, stdin=KEY + "\n")
    config.chmod(0o644)
    assert "could be read" in mains("me").err and config.stat().st_mode & 0o777 == 0o600


def test_a_broken_file_is_named(mains, config) -> None:
    config.parent.mkdir(parents=True)
    config.write_text("{")
    said = mains("me")
    assert said.code == 2 and str(config) in said.err


@pytest.mark.parametrize(("text", "url"), [
    ("cloud.example", "https://cloud.example"), ("https://cloud.example/", "https://cloud.example"),
    ("http://[::1]:80/api", "http://[::1]:80"), ("https://a.example/mains/api/v1/", "https://a.example/mains")])
def test_addresses_are_made_whole(program, text: str, url: str) -> None:
    assert program.portal_url(text) == url


@pytest.mark.parametrize("text", ["ftp://x", "https://user:word@x", "https://", "https://x:port", "https://x/?a=b", "file:///etc"])
def test_what_is_no_address_is_refused(program, text: str) -> None:
    with pytest.raises(program.Stop) as raised:
        program.portal_url(text)
    assert raised.value.code == 2 and "word" not in str(raised.value)


def test_an_address_that_is_not_encrypted_is_warned_of(program) -> None:
    assert program.is_private("https://x") and program.is_private("http://127.0.0.1:8000")
    assert not program.is_private("http://cloud.example")
