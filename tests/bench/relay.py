"""The portal alone, whose simulated hosts say that every screen is at the port of $BENCH_SCREEN: a process to measure.

Only `tests.bench.console` starts it.
"""
import os
import sys

import uvicorn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")


def main(port: int) -> None:
    from compute.hosts.drivers.contract import VncAddress
    from compute.hosts.drivers.simulated import SimulatedHypervisor
    from portal.asgi import application

    screen = VncAddress(host="127.0.0.1", port=int(os.environ["BENCH_SCREEN"]))
    SimulatedHypervisor.vnc = lambda _driver, _uuid: screen
    # As `portal_commands` of the set-up starts it.
    uvicorn.run(application, host="127.0.0.1", port=port, ws="websockets-sansio", ws_per_message_deflate=False,
                ws_max_size=512 * 1024, access_log=False, log_config=None, lifespan="auto")


if __name__ == "__main__":
    main(int(sys.argv[1]))
