"""The lab's command line, shared by `python -m compute.lab` and `manage.py lab`; it only translates words to verbs."""

import argparse
from collections.abc import Callable

from compute.lab.box import Lab

VERBS = ("up", "down", "status", "kill", "revive")


def add_arguments(parser: argparse.ArgumentParser, *, name: str | None = None, state: str | None = None) -> None:
    """Declare verb, host and the lab's identity, with defaults where the caller knows any."""
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("host", nargs="?", help="for kill and revive: the host's name")
    parser.add_argument("--name", default=name, required=name is None, help="the lab's name")
    parser.add_argument("--state", default=state, required=state is None, help="directory for everything it keeps")
    parser.add_argument("--hosts", type=int, default=1, help="how many hosts")


def run(options: argparse.Namespace, say: Callable[[str], None]) -> bool:
    """Carry out one verb; return whether all is well."""
    lab = Lab(options.name, options.state, hosts=options.hosts)
    if options.verb in ("kill", "revive"):
        getattr(lab, options.verb)(options.host or "")
    elif options.verb == "down":
        lab.down()
    elif options.verb == "up":
        for fact in lab.up(say):
            say(f"{fact.name} {fact.address} {fact.uri}")
    else:
        states = lab.status()
        for host, alive in states.items():
            say(f"{host} {'alive' if alive else 'dead'}")
        return bool(states) and all(states.values())
    return True
