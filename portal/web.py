"""A web process: `python -m portal.web --number 1 --port 8000`. Several share the port, each for a core.

Each is a program of its own for whatever supervises it (the lab's supervisor, systemd), since the children of one parent
live on when that is killed, and are cut off at an answer. The kernel spreads connections over those that listen, so one
that is restarted is not missed.
"""
import argparse
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import prometheus_client.values
import uvicorn

from portal import env

BACKLOG = 2048
# What a console's browser may send at once; compute.instances.console.relay says the same.
MOST_BYTES = 512 * 1024


def main() -> None:
    """Serve until a signal ends it. Raises OSError when the address belongs to somebody else."""
    asked = arguments()
    _count_together(asked.application, asked.number)
    listener = socket.create_server((asked.host, asked.port), backlog=BACKLOG, reuse_port=True,
                                    family=socket.AF_INET6 if ":" in asked.host else socket.AF_INET)
    uvicorn.Server(configuration(
        f"portal.asgi:{asked.application}", timeout_graceful_shutdown=asked.grace, proxy_headers=bool(asked.proxy),
        forwarded_allow_ips=asked.proxy)).run(sockets=[listener])


def configuration(application: object, **further: object) -> uvicorn.Config:
    """What every server of ours has: small messages, no compression of what is encrypted, no log of every request."""
    return uvicorn.Config(application, ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=MOST_BYTES,
                          access_log=False, **further)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line (or `words`) asks for; ends the program when it is not understood."""
    parser = argparse.ArgumentParser(prog="portal.web", description=__doc__.partition("\n")[0])
    parser.add_argument("--application", choices=("application", "screens"), default="application",
                        help="all of the portal, or only the screens of instances")
    parser.add_argument("--number", type=int, default=1, help="which of the processes on this machine it is")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--proxy", default="", help="address of the proxy whose word about clients is believed")
    parser.add_argument("--grace", type=int, default=10, help="seconds that answers may take to end after a signal")
    return parser.parse_args(words)


def _count_together(application: str, number: int) -> None:
    """Prometheus asks whichever process it meets: each keeps its counters in a file that all of them read.

    The file belongs to the number, not to the process, so that counters go on where a killed one left them.
    """
    folder = Path(env.text("MAINS_STATE_DIR", "var/run")) / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    prometheus_client.values.ValueClass = prometheus_client.values.MultiProcessValue(lambda: f"{application}-{number}")


if __name__ == "__main__":
    main()
