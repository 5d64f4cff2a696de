"""Runs the catalogue's commands on a real host, with the key, known hosts and configuration of its endpoint.

Each command is one connection; the host ends it when its time is over. What it said when it failed is logged here and
told nobody. Which commands there are is in `catalogue`.
"""
import subprocess
import time
from collections.abc import Callable

import structlog

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Address, Fence, Unfenced
from compute.hosts.drivers.ssh import CONNECT_LIMIT_S, client_words, not_connected, target_of
from portal.kernel.errors import HostFault, HostUnreachable

from .catalogue import CATALOGUE
from .contract import Answer, Command, ProgramAbsent

log = structlog.get_logger(__name__)

# ssh's own failures, and what `timeout` and `env` answer.
SSH_FAILED, OUT_OF_TIME, NOT_FOUND = 255, 124, 127
# The same words for every account and language of hosts.
SURROUNDINGS = ("env", "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
SPARE_S = 3
# How often who waits for a long one says that it does.
STILL_S = 3


class SshCommands:
    def __init__(self, address: Address, fence: Fence | None = None) -> None:
        target = target_of(address.uri)
        if target is None:
            raise ValueError(f"{address.uri} is not reached by SSH")
        self._address, self._target, self._fence = address, target, fence or Unfenced()

    def run(self, command: Command[Answer], *, still: Callable[[], None] | None = None, **values: object) -> Answer:
        if CATALOGUE.get(command.name) is not command:
            raise ValueError(f"{command.name} is not in the catalogue")
        words = [*SURROUNDINGS, "timeout", str(command.limit_s), *command.filled(**values)]
        self._fence.before(f"ssh.{command.name}")
        printed = self._printed(command, client_words(self._address, self._target, words), still or _nothing)
        self._fence.after(f"ssh.{command.name}")
        try:
            return command.parse(printed)
        except (ValueError, LookupError, TypeError) as error:
            log.warning("commands.unreadable", command=command.name, host=self._target.host, printed=printed[:500])
            raise HostFault(reasons.UNREADABLE_ANSWER) from error

    def _printed(self, command: Command, words: list[str], still: Callable[[], None]) -> str:
        ends = time.monotonic() + command.limit_s + CONNECT_LIMIT_S + SPARE_S
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                              errors="replace") as client:
            try:
                printed, said = _waited_for(client, ends, still)
            except BaseException:
                client.kill()
                raise
        if client.returncode:
            log.warning("commands.failed", command=command.name, host=self._target.host, status=client.returncode,
                        said=said[-500:])
            raise _fault(client.returncode, said)
        return printed

    def close(self) -> None:
        """Nothing is kept open."""


def _nothing() -> None:
    pass


def _waited_for(client: subprocess.Popen, ends: float, still: Callable[[], None]) -> tuple[str, str]:
    while True:
        try:
            return client.communicate(timeout=max(0.0, min(STILL_S, ends - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= ends:
                raise HostUnreachable(reasons.NO_ANSWER) from None
            still()


def _fault(status: int, said: str) -> HostFault:
    if status == SSH_FAILED:
        return not_connected(said)
    if status == OUT_OF_TIME:
        return HostUnreachable(reasons.NO_ANSWER)
    return ProgramAbsent() if status == NOT_FOUND else HostFault(reasons.COMMAND_FAILED)
