"""The program as a module, a stub of the portal that answers as told, and a way to run commands against it."""
import http.server
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "portal" / "cli" / "mains"
KEY = "mns_stub_key"


@pytest.fixture(scope="session")
def program() -> ModuleType:
    """The file, imported; nothing is compiled beside it."""
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader = SourceFileLoader("mains_cli", str(FILE))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@dataclass
class Said:
    """What a command left."""

    code: int
    out: str
    err: str
    pauses: list[float]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def mains(program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
          capsys: pytest.CaptureFixture) -> Callable[..., Said]:
    """Runs a command in this process: English, no profile, no terminal, no pause before another attempt."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "LC_MESSAGES", "MAINS_LANG", "MAINS_URL", "MAINS_API_KEY", "MAINS_PROFILE", "MAINS_PROJECT",
                 "MAINS_REGION", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, stdin: str = "", is_terminal: bool = False) -> Said:
        monkeypatch.setattr(sys, "argv", ["mains", *words])
        monkeypatch.setattr(sys, "stdin", Terminal(stdin) if is_terminal else io.StringIO(stdin))
        pauses: list[float] = []
        monkeypatch.setattr(program, "time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic))
        capsys.readouterr()
        try:
            code = program.main()
        except SystemExit as error:  # argparse ends so
            code = int(error.code or 0)
        return Said(code, *capsys.readouterr(), pauses)

    return run


@dataclass
class Asked:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """A portal that answers from `answers`: (method, path without query) → one answer, or a list of them in turn, or a
    function of the request. An answer is (status, document) or (status, document, headers); None hangs up."""

    url: str = ""
    answers: dict = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    server: http.server.HTTPServer | None = None

    def answer(self, asked: Asked) -> tuple | None:
        self.asked.append(asked)
        missing = (404, {"title": "Not found", "detail": "There is no such object, or you may not see it.", "status": 404,
                         "code": "not_found"})
        found = self.answers.get((asked.method, asked.path.partition("?")[0].removeprefix("/api/v1/")), missing)
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found(asked) if callable(found) else found

    def rows(self, path: str, *rows: dict) -> None:
        """A list of one page."""
        self.answers["GET", path] = (200, {"next": None, "previous": None, "results": list(rows)})

    def paths(self, method: str) -> list[str]:
        return [asked.path for asked in self.asked if asked.method == method]


@pytest.fixture
def other() -> Iterator[Stub]:
    """Another server, where no key must ever arrive."""
    with _serving(Stub()) as stub:
        yield stub


@pytest.fixture
def stub(mains: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """The portal that MAINS_URL and MAINS_API_KEY name."""
    with _serving(Stub()) as stub:
        monkeypatch.setenv("MAINS_URL", stub.url)
        monkeypatch.setenv("MAINS_API_KEY", KEY)
        yield stub


class _serving:
    def __init__(self, stub: Stub) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                found = stub.answer(Asked(self.command, self.path, dict(self.headers), body))
                if found is None:
                    self.close_connection = True
                    return
                status, document, *headers = found
                content = document if isinstance(document, bytes) else json.dumps(document).encode()
                content = b"" if status == 204 else content
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **(headers[0] if headers else {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_words: object) -> None:
                pass

        self.stub, self.server = stub, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        stub.server, stub.url = self.server, f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Stub:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self.stub

    def __exit__(self, *_exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()
