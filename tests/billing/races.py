"""The same work on several connections at once."""
import threading
from collections.abc import Callable

from django.db import connection

PATIENCE_S = 60


def at_once(work: Callable[[int], object], number: int) -> list[Exception]:
    """Do it `number` times, each in a thread with a connection of its own, all from one moment on; what went wrong."""
    errors, barrier = [], threading.Barrier(number)

    def one(which: int) -> None:
        try:
            barrier.wait(5)
            work(which)
        except Exception as error:  # the caller looks at it
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(which,), daemon=True) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    return errors
