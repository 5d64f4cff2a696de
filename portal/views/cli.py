"""The command line `mains`: its page, and the file itself for everybody to fetch."""
import hashlib
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import etag
from markdown_it import MarkdownIt

from tenants.pages import page

FILE = Path(__file__).parent.parent / "cli" / "mains"
INSTALLED = "~/.local/bin/mains"


@cache
def program() -> tuple[bytes, str]:
    """The file as it is served, and its SHA-256."""
    content = FILE.read_bytes()
    return content, hashlib.sha256(content).hexdigest()


@page(public=True)
def about(request: HttpRequest) -> HttpResponse:
    """How to install it, to check what was fetched, and to begin."""
    _content, digest = program()
    url = settings.SITE_URL + reverse("cli:file")
    return render(request, "cli/page.html", {
        "layout": _layout(request),
        "install": f"curl -fsS --create-dirs -o {INSTALLED} {url} && chmod +x {INSTALLED}\nmains login {settings.SITE_URL}",
        "check": f"cd {INSTALLED.rpartition('/')[0]}\necho '{digest}  mains' | sha256sum -c",
        "completion": "source <(mains completion bash)  # ~/.bashrc\nsource <(mains completion zsh)  # ~/.zshrc",
        "examples": EXAMPLES, "help": "mains help\nmains instance create --help"})


EXAMPLES = """mains me
mains ssh-key create laptop --public-key ~/.ssh/id_ed25519.pub
mains instance create web --type small --image "Mains demo" --ssh-key laptop --floating-ip --wait
mains instance list --state running
mains instance list --json | jq -r '.[].name'
mains instance stop web --wait
mains usage list --start 7d --group-by meter
mains instance delete web --wait"""


@page(public=True)
@etag(lambda request: f'"{program()[1]}"')
@cache_control(no_cache=True, public=True)
def download(request: HttpRequest) -> HttpResponse:
    """The file; who has it already learns that it is still the same."""
    return HttpResponse(program()[0], content_type="text/x-python; charset=utf-8",
                        headers={"Content-Disposition": 'attachment; filename="mains"'})


@page(public=True)
def commands(request: HttpRequest) -> HttpResponse:
    """The reference of all commands, as the program itself tells it."""
    html, kinds = reference("zh" if get_language().startswith("zh") else "en")
    return render(request, "cli/commands.html", {
        "layout": _layout(request), "trail": [(_("Command line"), reverse("cli:page"))], "html": html, "kinds": kinds})


@cache
def reference(language: str) -> tuple[str, tuple[str, ...]]:
    """HTML of the reference, and its sections, which are the anchors too."""
    told = subprocess.run([sys.executable, "-I", "-X", "utf8", FILE, "help", "--markdown"], env={"MAINS_LANG": language},
                          capture_output=True, text=True, encoding="utf-8", check=True, timeout=30).stdout
    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse(told.partition("\n")[2])  # the page has a title of its own
    kinds = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            opening.attrSet("id", inline.content.replace(" ", ""))
            opening.attrSet("translate", "no")  # words of the command line
            kinds.append(inline.content)
    return markdown.renderer.render(tokens, markdown.options, {}), tuple(kinds)


def _layout(request: HttpRequest) -> str:
    return "base.html" if request.user.is_authenticated else "docs/public.html"
