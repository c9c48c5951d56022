"""A coordinator as small as can be: has one contestant of a race, stopped, and waits.

``python -m tests.trial.race_coordinator FOLDER TASK``
"""

import sys
import time
from pathlib import Path

from autotune.trial.arena import ProcessArena
from autotune.trial.launcher import Launcher
from tests.trial.listening import order


def main() -> None:
    """Run until killed."""
    folder, task = Path(sys.argv[1]), sys.argv[2]
    with Launcher.start(task, method="fork_server") as launcher:
        arena = ProcessArena(launcher, order(folder, task=task), folder=folder)
        arena.enter({"num_workers": 2}).run_block(seconds=0.0, min_steps=3)
        sys.stdout.write("Stopped\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    main()
