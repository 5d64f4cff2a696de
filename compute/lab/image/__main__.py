"""`python -m compute.lab.image DIRECTORY`: build the demo image there, unless it is there already."""

import sys

from compute.lab.errors import LabError
from compute.lab.image import build


def main(directory: str) -> int:
    """Build, saying what is being done."""
    try:
        build(directory, lambda text: print(text, flush=True))
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
