"""The console websocket (raw ASGI)."""
from portal.kernel.handshake import refuse


async def console(scope: dict, receive, send) -> None:
    await receive()  # websocket.connect
    await refuse(scope, receive, send, status=503, code="unavailable")
