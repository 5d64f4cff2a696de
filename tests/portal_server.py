"""The portal behind a real uvicorn in a thread of the test process: for what only a real socket shows."""
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from portal.web import configuration


@contextmanager
def serving() -> Iterator[str]:
    """`host:port` of a running portal, set up as `make run` does."""
    from portal.asgi import application

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(application, log_config=None, lifespan="off", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield "{}:{}".format(*listener.getsockname())
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
