"""The lab's command line, shared by `python -m compute.lab` and `manage.py lab`; it only translates words to verbs."""

import argparse
from collections.abc import Callable

from compute.lab.box import HostFacts, Lab, Power
from compute.lab.roster import DEFAULT_HOSTS

VERBS = ("up", "down", "status", "kill", "cut", "revive", "add", "remove")


def add_arguments(parser: argparse.ArgumentParser, *, name: str | None = None, state: str | None = None) -> None:
    """Declare verb, host and the lab's identity, with defaults where the caller knows any."""
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("host", nargs="?", help="the host's name, or `central`; for add, the new host's")
    parser.add_argument("--name", default=name, required=name is None, help="the lab's name")
    parser.add_argument("--state", default=state, required=state is None, help="directory for everything it keeps")
    parser.add_argument("--hosts", type=int, help=f"how many hosts at least (a new lab has {DEFAULT_HOSTS})")


def run(options: argparse.Namespace, say: Callable[[str], None]) -> bool:
    """Carry out one verb; return whether all is well."""
    lab = Lab(options.name, options.state, hosts=options.hosts)
    if options.verb in ("kill", "cut"):
        getattr(lab, options.verb)(options.host or "")
    elif options.verb == "revive":
        lab.revive(options.host or "", say)
    elif options.verb == "down":
        lab.down()
    elif options.verb == "add":
        say(_line(lab.add(options.host, say)))
    elif options.verb == "remove":
        lab.remove(options.host or "", say)
    elif options.verb == "up":
        for fact in lab.up(say):
            say(_line(fact))
    else:
        return _tell(lab.status(), say)
    return True


def _line(fact: HostFacts) -> str:
    return f"{fact.name} {fact.user}@{fact.address} {fact.uri}"


def _tell(states: dict[str, Power], say: Callable[[str], None]) -> bool:
    for machine, power in states.items():
        say(f"{machine} {power}")
    return bool(states) and all(power is Power.ALIVE for power in states.values())
