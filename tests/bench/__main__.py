"""`make bench ARGS="boot rating"`: measures, prints a table, and fails when a goal is missed.

Everything is compared with something else in the same run, round by round, since the machine's speed is nobody's
promise. Each figure is a module with `measure() -> list[Figure]`; without names, all of them run.
"""
import os
import sys
import time
from importlib import import_module

from tests.bench.figures import Figure, Skipped, table

NAMES = ("boot", "console", "lists", "rating", "costs", "ingest", "quota", "pages", "search", "live", "prompt", "visible",
         "foreign", "measuring", "creates")


def run(name: str) -> list[Figure]:
    print(f"measuring {name} …", flush=True)
    begun = time.monotonic()
    try:
        found = import_module(f"tests.bench.{name}").measure()
    except Skipped as reason:
        found = [Figure(name=name, value="skipped", compared=str(reason))]
    print(f"  {time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    return found


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - set(NAMES)
    if unknown or os.environ.get("MAINS_STAGE") != "test":
        print(f"Run it by `make bench ARGS=…`, with some of: {' '.join(NAMES)}", file=sys.stderr)
        return 2
    figures = [figure for name in wanted or NAMES for figure in run(name)]
    print("\n" + table(figures))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
