"""Coordinators of one study as processes: ``python -m tests.faults.sharer URL FILE TRIALS EPOCHS WORKERS [FATAL]``.

Their trials only report. They are forked when all is imported, and begin with a line from standard
input; what each does is told on standard output, with its process id. Whoever runs the trial FATAL
first is killed in the middle of it.
"""

import os
import signal
import sys
from pathlib import Path

from autotune.events import EpochReport, TrialOrder
from autotune.hardware import Machine
from autotune.spec.load import SpecFile, load_spec
from autotune.trial.launcher import Arrival, TrialProcess
from benchmarks.simulated import SimulatedTrials, simulated_session
from tests.machines import machine

SECONDS_A_REPORT = 0.02
FATAL_EPOCHS = 2
"""That the fatal trial has recorded when its coordinator is killed."""


class ToldTrials(SimulatedTrials):
    """Tells of each launch as it happens."""

    def __init__(self, *, num_epochs: int, fatal: int, marker: Path) -> None:
        super().__init__(reports_per_second=1 / SECONDS_A_REPORT, num_epochs=num_epochs)
        self._fatal = fatal
        self._marker = marker

    def launch(self, order: TrialOrder) -> TrialProcess:
        """A trial that reports from now on."""
        tell("launched", order.number)
        return super().launch(order)

    def wait(self, timeout: float) -> list[Arrival]:
        """The end of this process, at a later epoch of the fatal trial, unless another one has ended there."""
        arrivals = super().wait(timeout)
        for arrival in arrivals:
            is_late = isinstance(arrival.event, EpochReport) and arrival.event.epoch > FATAL_EPOCHS
            if is_late and arrival.process.number == self._fatal and not self._marker.exists():
                self._marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return arrivals


def tell(*words: object) -> None:
    """One line, whole."""
    os.write(1, f"{os.getpid()} {' '.join(map(str, words))}\n".encode())


def run(url: str, file: SpecFile, *, trials: ToldTrials, here: Machine) -> None:
    """A start of the study, to its end."""
    with simulated_session(file, storage=url, machine=here, trials=trials) as session:
        tell("over", session.run())


def main() -> int:
    """As many coordinators as the last argument says; the number of those that ended badly, killed ones aside."""
    url, spec, trials, epochs, workers, fatal = [*sys.argv[1:], "-1"][:6]
    file = load_spec(spec, overrides=[f"budget.trials={trials}"])
    tell("ready")
    sys.stdin.readline()
    children = []
    for _ in range(int(workers)):
        child = os.fork()
        if child == 0:
            told = ToldTrials(num_epochs=int(epochs), fatal=int(fatal), marker=Path(f"{spec}.killed"))
            run(url, file, trials=told, here=machine())
            return 0
        children.append(child)
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) > 0 for child in children)


if __name__ == "__main__":
    sys.exit(main())
