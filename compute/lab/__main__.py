"""`python -m compute.lab up|down|status|kill H|cut H|revive H|add [H]|remove H --name N --state DIR`, without Django."""

import argparse
import sys

from compute.lab import commands
from compute.lab.errors import LabError


def main() -> int:
    """Run one command; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m compute.lab", description="Cloud in a box.")
    commands.add_arguments(parser)
    try:
        return 0 if commands.run(parser.parse_args(), lambda text: print(text, flush=True)) else 1
    except LabError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
