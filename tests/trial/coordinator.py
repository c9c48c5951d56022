"""A coordinator as small as can be: launches one trial, says its process's number, and listens.

``python -m tests.trial.coordinator METHOD FOLDER TASK [PARAMETER=VALUE...]``; with ``turn=never`` the trial is launched
ahead, and its turn does not come.
"""

import sys
from pathlib import Path
from typing import cast

from autotune.trial.launcher import Launcher, Method
from tests.trial.listening import order


def main() -> None:
    """Run until killed."""
    method, folder, task, *assignments = sys.argv[1:]
    with Launcher.start(task, method=cast("Method", method)) as launcher:
        parameters = dict(each.split("=") for each in assignments)
        launch = launcher.launch_ahead if parameters.pop("turn", None) == "never" else launcher.launch
        process = launch(order(Path(folder), task=task).model_copy(update={"parameters": parameters}))
        while True:
            for arrival in launcher.wait(10.0):
                assert arrival.process == process, arrival
                sys.stdout.write(f"{type(arrival.event).__name__} {process.pid}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
