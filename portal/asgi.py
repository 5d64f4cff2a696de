"""The ASGI applications: `application` is all of the portal, Django for HTTP and the two websockets.

`portal.asgi:screens` is only the console, for a process of its own: an upgrade that restarts the other one drops no screen.
"""
import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import URLPattern, path, re_path

from portal import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
env.in_web_process = True
# Loads the apps; what follows imports models.
django.setup(set_prefix=False)

from compute.instances.console.relay import console  # noqa: E402
from portal.kernel.handshake import refuse  # noqa: E402
from portal.kernel.sockets import live  # noqa: E402
from portal.serving import Handler, settle  # noqa: E402

http = Handler()


async def unknown(scope: dict, receive, send) -> None:
    await receive()  # websocket.connect
    await refuse(scope, receive, send, status=404, code="not_found")


def websockets(*routes: URLPattern) -> URLRouter:
    return URLRouter([*routes, re_path(r"", unknown)])


console_route = path("ws/console/", console)
# HTTP too: a load balancer asks it for /livez.
screens = ProtocolTypeRouter({"http": http, "websocket": websockets(console_route)})
application = ProtocolTypeRouter({"http": http, "websocket": websockets(path("ws/live/", live), console_route)})

settle()
