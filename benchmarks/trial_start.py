"""Time from asking for a trial to its first training step: fork server, spawned process, in-process.

Each asks Optuna for the parameters of a trial of the mnist task and waits until training begins,
which the trial's Started event says; then the trial is stopped. The first trial of each is left
out. In-process is what ``study.optimize`` does: the same training in the process that asks.

    python benchmarks/trial_start.py [--trials 30]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import optuna

from autotune.events import Event, Outcome, Scalar, Started, Stop, TrialOrder
from autotune.trial.launcher import Exited, Launcher, Method
from benchmarks.figures import header

_TASK = "autotune.tasks.mnist:Mnist"
_TARGET_SECONDS = 0.25
_STOP = Stop(outcome=Outcome.PRUNED, reason="it has started")


class StoppedAtStart:
    """A channel that notes when training begins, and has it stopped at once."""

    def __init__(self) -> None:
        self.opened_at = time.monotonic()
        self.stop: Stop | None = None
        self.started_at: float | None = None

    def send(self, event: Event) -> None:
        """Note the start; nothing else matters here."""
        if isinstance(event, Started):
            self.started_at = time.perf_counter()
            self.stop = _STOP


def measure_processes(method: Method, *, trials: int, folder: Path) -> list[float]:
    """Seconds from ask to start of each trial, in a process each."""
    study = optuna.create_study()
    seconds = []
    with Launcher.start(_TASK, method=method) as launcher:
        for _ in range(trials + 1):
            asked_at = time.perf_counter()
            trial = study.ask()
            process = launcher.launch(_order(trial, folder=folder))
            is_over = False
            while not is_over:
                for arrival in launcher.wait(60.0):
                    if isinstance(arrival.event, Started):
                        seconds.append(time.perf_counter() - asked_at)
                        launcher.send(process, stop=_STOP)
                    is_over = is_over or isinstance(arrival.event, Exited)
            study.tell(trial, 0.0)
    return seconds[1:]


def measure_in_process(*, trials: int, folder: Path) -> list[float]:
    """Seconds from ask to start of each trial, where Optuna asks and trains in this process."""
    from autotune.training.process.loading import load_task
    from autotune.training.process.run import run_trial

    task = load_task(_TASK)
    task.setup()
    study = optuna.create_study()
    asked_at = time.perf_counter()
    seconds: list[float] = []

    def train(trial: optuna.Trial) -> float:
        channel = StoppedAtStart()
        run_trial(_order(trial, folder=folder), task=task, channel=channel)
        assert channel.started_at is not None
        seconds.append(channel.started_at - asked_at)
        return 0.0

    def ask_next(_study: optuna.Study, _trial: optuna.trial.FrozenTrial) -> None:
        nonlocal asked_at
        asked_at = time.perf_counter()

    study.optimize(train, n_trials=trials + 1, callbacks=[ask_next])
    return seconds[1:]


def main() -> None:
    """Prints the medians, their ratios, the machine and the versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    trials = parser.parse_args().trials
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(header("optuna"))
    with tempfile.TemporaryDirectory() as folder:
        forked = measure_processes("fork_server", trials=trials, folder=Path(folder))
        spawned = measure_processes("spawn", trials=trials, folder=Path(folder))
        in_process = measure_in_process(trials=trials, folder=Path(folder))
    median = statistics.median(forked)
    print("seconds from ask to first step   median     p95   ratio to the fork server")
    for name, seconds in (("fork server", forked), ("spawned process", spawned), ("in-process (Optuna)", in_process)):
        middle = statistics.median(seconds)
        p95 = statistics.quantiles(seconds, n=20)[-1]
        print(f"{name:<31}{middle:8.3f}{p95:8.3f}{middle / median:9.2f}")
    print(
        f"target: at most {_TARGET_SECONDS} s from the fork server: {'met' if median <= _TARGET_SECONDS else 'missed'}"
    )
    print(f"{trials} trials each, after the first; mnist task, batch 64, no workers, CPU")


def _order(trial: optuna.Trial, *, folder: Path) -> TrialOrder:
    parameters: dict[str, Scalar] = {
        "optimizer": "adam",
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "batch_size": 64,
        "width": 16,
        "num_workers": 0,
    }
    return TrialOrder(
        study="trial_start",
        number=trial.number,
        task=_TASK,
        parameters=parameters,
        objective_metrics=("val_accuracy",),
        epochs=1,
        seed=trial.number,
        device="cpu",
        folder=str(folder / str(trial.number)),
    )


if __name__ == "__main__":
    main()
