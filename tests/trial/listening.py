"""Hearing a launcher out, for tests of trial processes."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from autotune.events import EpochReport, Event, Finished, Scalar, Started, TrialOrder
from autotune.trial.launcher import Exited, Launcher, TrialProcess

FOLDER = Path(__file__).parent
BEHAVIOURS = f"{FOLDER / 'behaviours.py'}:train"
SPOTS = f"{FOLDER / 'rehearsed.py'}:Spots"
PATIENCE_SECONDS = 40.0


def order(folder: Path, *, task: str = BEHAVIOURS, number: int = 0, **parameters: Scalar) -> TrialOrder:
    return TrialOrder(
        study="test",
        number=number,
        task=task,
        parameters=parameters,
        objective_metrics=("val_accuracy",),
        epochs=3,
        seed=1,
        device="cpu",
        folder=str(folder / str(number)),
    )


def hear(
    launcher: Launcher, *, until: Callable[[TrialProcess, Event | Exited], bool]
) -> dict[int, list[Event | Exited]]:
    """Everything that arrived, by trial number, up to the first arrival that is waited for."""
    heard: dict[int, list[Event | Exited]] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    is_over = False
    while not is_over:
        assert time.monotonic() < deadline, heard
        for arrival in launcher.wait(1.0):
            heard.setdefault(arrival.process.number, []).append(arrival.event)
            is_over = is_over or until(arrival.process, arrival.event)
    return heard


def hear_out(launcher: Launcher, process: TrialProcess) -> list[Event | Exited]:
    """Everything from this process to its exit."""
    return hear(launcher, until=lambda other, event: other == process and isinstance(event, Exited))[process.number]


def end_all(launcher: Launcher, processes: Iterable[TrialProcess]) -> None:
    """Kill them and wait for the last."""
    left = set(processes)
    for process in left:
        launcher.kill(process, grace_seconds=0)

    def is_last(process: TrialProcess, event: Event | Exited) -> bool:
        if isinstance(event, Exited):
            left.discard(process)
        return not left

    hear(launcher, until=is_last)


def hear_report(launcher: Launcher, process: TrialProcess) -> EpochReport:
    """The next epoch's report of this process."""
    heard = hear(
        launcher, until=lambda other, event: other == process and isinstance(event, (EpochReport, Finished, Exited))
    )
    report = next(event for event in heard[process.number] if not isinstance(event, Started))
    assert isinstance(report, EpochReport), report
    return report


def without_start(events: list[Event | Exited]) -> list[Event | Exited]:
    """What came after training began."""
    return [event for event in events if not isinstance(event, Started)]


def finish_of(events: list[Event | Exited]) -> Finished:
    """The one Finished, which only the exit follows."""
    finished = events[-2]
    assert isinstance(finished, Finished), events
    return finished


def is_gone(pid: int) -> bool:
    """No process has this number, or only its parent's reaping is missing."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
