"""The ASGI application: Django for HTTP, and the two websockets."""
import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
# Loads the apps; what follows imports models.
http = get_asgi_application()

from compute.instances.console.relay import console  # noqa: E402
from portal.kernel.handshake import refuse  # noqa: E402
from portal.kernel.sockets import live  # noqa: E402


async def unknown(scope: dict, receive, send) -> None:
    await receive()  # websocket.connect
    await refuse(scope, receive, send, status=404, code="not_found")


application = ProtocolTypeRouter({
    "http": http,
    "websocket": URLRouter([path("ws/live/", live), path("ws/console/", console), re_path(r"", unknown)]),
})
