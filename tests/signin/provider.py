"""A real OpenID Connect provider, for the tests to run as a program of its own:
`python -m tests.signin.provider <folder> <callback>`.

It is allauth's (`allauth.idp.oidc`) on SQLite, with people and one client; it prints its port. `/twist/<claim>/<value>/` makes it
lie in its tokens from then on, `/twist/` ends that.
"""
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from wsgiref.simple_server import WSGIRequestHandler, make_server

CLIENT, SECRET, PASSWORD = "mains", "the client's secret", "at the provider"
PEOPLE = {"dave": ("dave@acme.example", True), "eve": ("eve@acme.example", False), "fay": ("fay@elsewhere.example", True),
          "alice": ("alice@acme.example", True), "root": ("root@acme.example", True), "gus": ("gus@acme.example", True)}
TWISTS: dict[str, Any] = {}


def configure(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from django.conf import settings

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    settings.configure(
        SECRET_KEY="provider", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, USE_TZ=True, STATIC_URL="/static/",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "provider.sqlite3"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                        "django.contrib.messages", "allauth", "allauth.account", "allauth.idp.oidc"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware",
                    "django.contrib.messages.middleware.MessageMiddleware", "allauth.account.middleware.AccountMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"]}}],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], ACCOUNT_LOGIN_METHODS={"username"},
        ACCOUNT_RATE_LIMITS=False,
        ACCOUNT_EMAIL_VERIFICATION="none", SESSION_COOKIE_NAME="provider", IDP_OIDC_PRIVATE_KEY=key,
        IDP_OIDC_ADAPTER=f"{__name__}_adapter.Adapter", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")


def fill(callback: str) -> None:
    from allauth.account.models import EmailAddress
    from allauth.idp.oidc.models import Client
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    client = Client(id=CLIENT, name="Mains", scopes="openid\nprofile\nemail", redirect_uris=callback, skip_consent=True)
    client.set_secret(SECRET)
    client.save()
    for name, (email, is_proved) in PEOPLE.items():
        user = User.objects.create_user(name, email, PASSWORD, first_name=name.title(), last_name="<b>Doe</b>")
        EmailAddress.objects.create(user=user, email=email, verified=is_proved, primary=True)


def twist(request: Any, claim: str = "", value: str = "") -> Any:
    from django.http import JsonResponse

    TWISTS.clear()
    if claim:
        TWISTS[claim] = json.loads(unquote(value))
    return JsonResponse(TWISTS)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_told: Any) -> None:
        """Nothing."""


def main() -> None:
    folder, callback = Path(sys.argv[1]), sys.argv[2]
    configure(folder)
    import django

    django.setup()
    fill(callback)
    from django.core.wsgi import get_wsgi_application

    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def __getattr__(name: str) -> Any:
    """Its addresses, once Django is set up."""
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.urls import include, path

    return [path("", include("allauth.idp.urls")), path("accounts/", include("allauth.account.urls")),
            path("twist/", twist), path("twist/<str:claim>/<path:value>/", twist)]


if __name__ == "__main__":
    sys.modules["tests.signin.provider"] = sys.modules["__main__"]
    __name__ = "tests.signin.provider"
    main()
