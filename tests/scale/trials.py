"""Disturb sweeps again and again: ``python tests/scale/trials.py [--times 20] [SCENARIO ...]``.

The work is in scenarios.py: processes that are spawned import this file anew, and it is light.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACES = [str(HERE.parents[1]), str(HERE)]

if __name__ == "__main__":
    sys.path[:0] = PLACES
    os.environ["PYTHONPATH"] = os.pathsep.join(PLACES)  # for the workers
    from scenarios import main

    sys.exit(main())
