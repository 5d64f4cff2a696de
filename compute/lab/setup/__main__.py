"""Makes `python3 compute/lab/setup VERB` work without importing the packages above, which need the virtual environment."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from setup.commands import main  # noqa: E402  (found through the line above, taken away again below)

sys.path.pop(0)
sys.exit(main(sys.argv[1:]))
