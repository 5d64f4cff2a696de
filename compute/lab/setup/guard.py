"""Run a command and leave nobody of it behind: when its main process ends, however it ends, its whole group is killed.

For Celery's worker, whose pool children would outlive a killed parent and go on holding connections beside the new one.
`python3 guard.py COMMAND …`; a script of its own, run by the supervisor.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

PATIENCE_S = 15


def main(command: list[str]) -> int:
    """Run the command; return its status."""
    # Should the guard itself be killed, the command is told to end and takes its children along.
    child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *command], process_group=0)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)
        signal.alarm(PATIENCE_S)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        child.kill()

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGALRM, give_up)
    status = child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
