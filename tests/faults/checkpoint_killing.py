"""Kill -9 of a process while it writes its checkpoint, at every step of the write in turn and at random moments.

    python -m tests.faults.checkpoint_killing FOLDER [--kills 200] [--seed 0] [--steps]

A trial trains for real, in a process forked for it, and says an epoch once it is reported: that is an acknowledgement.
After each kill the checkpoint must load, hold every acknowledged epoch and at most the one whose report was on its
way, and at the end the trial must have the losses and the weights of one that nobody killed. Prints the ledger as JSON.
"""

import argparse
import contextlib
import functools
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from autotune.events import EpochReport, Event, Scalar, Stop

NUM_EPOCHS = 40
"""Of a trial that is killed at random moments again and again."""
SMALL: dict[str, Scalar] = {"batch_size": 21, "optimizer": "sgd", "lr": 0.05}
LARGE: dict[str, Scalar] = {"batch_size": 42, "optimizer": "adam", "lr": 1e-3, "ballast": 5_000_000}
"""A checkpoint of 20 MB and epochs of one step: many moments are inside of a write."""
_MOST_EPOCHS = 2.0
"""From an epoch's report to the kill, in the time that an epoch took on average without a kill."""
_IS_WORTH_A_LOOK = frozenset({"open", "write_record", "write_end_of_file", "flush", "fsync", "rename", "close"})
"""Calls into C by which a checkpoint comes to the disk: whatever else is called changes no file."""


@dataclass
class CheckpointLedger:
    """What was killed where, what had been acknowledged, and what was not as promised."""

    num_kills: int = 0
    num_inside: int = 0
    """Kills that left a half-written file: they were inside of a write for sure."""
    num_acknowledged: int = 0
    """Epochs that were reported before a kill."""
    num_trials: int = 0
    """Trained to their end."""
    violations: list[str] = field(default_factory=list)


def kill_writers(folder: Path, *, num_kills: int, seed: int = 0, has_steps: bool = False) -> CheckpointLedger:
    """The ledger of the program above, run in a process of its own.

    Args:
        folder: An empty one.
        num_kills: At random moments; 0 for none.
        seed: Of the moments.
        has_steps: Kill before all of them once at every step of a write.
    """
    command = [sys.executable, "-m", __name__, str(folder), "--kills", str(num_kills), "--seed", str(seed)]
    done = subprocess.run(
        [*command, *(["--steps"] if has_steps else [])],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout, f"the program itself failed: status {done.returncode}"
    return CheckpointLedger(**json.loads(done.stdout))


class _Telling:
    """A trial's channel that says each epoch on a pipe."""

    stop: Stop | None = None

    def __init__(self, pipe: int) -> None:
        self.opened_at = time.monotonic()
        self._pipe = pipe

    def send(self, event: Event) -> None:
        if isinstance(event, EpochReport):
            os.write(self._pipe, f"{event.epoch}\n".encode())


@dataclass
class _Child:
    """A forked process that trains, and the pipe on which it says its epochs."""

    pid: int
    pipe: int

    def epochs(self) -> Iterator[int]:
        """As they are said, until the process has ended."""
        with os.fdopen(os.dup(self.pipe)) as lines:
            yield from map(int, lines)

    def end(self) -> bool:
        """Wait for its end; whether it was killed."""
        while os.read(self.pipe, 1024):
            pass  # what nobody asked for: with the pipe full, or closed, the process could say no more
        os.close(self.pipe)
        status = os.waitpid(self.pid, 0)[1]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGXFSZ):
            return True
        assert os.waitstatus_to_exitcode(status) == 0, "the trial itself failed"
        return False


def _fork(
    folder: Path, parameters: dict[str, Scalar], *, epochs: int, prepare: Callable[[], None] | None = None
) -> _Child:
    """Go on with the trial in this folder, in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Child(pid, reading)
    status = 1
    try:
        os.close(reading)
        _train(folder, parameters, epochs=epochs, pipe=writing, prepare=prepare)
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of the parent's may go on here
        traceback.print_exc()
    finally:
        os._exit(status)


def _train(
    folder: Path, parameters: dict[str, Scalar], *, epochs: int, pipe: int, prepare: Callable[[], None] | None
) -> None:
    from autotune.training.process.run import run_trial
    from tests.faults.ballast import Ballasted
    from tests.training.trials import loaded, order

    if prepare is not None:
        prepare()
    trial_order = order(folder, parameters, epochs=epochs)
    finished = run_trial(trial_order, task=loaded(Ballasted()), channel=_Telling(pipe))
    assert finished.outcome == "complete", finished


@dataclass(frozen=True)
class _State:
    """What a checkpoint holds of a trial."""

    histories: list[dict[str, float]]
    weights: dict[str, Any]

    def is_same(self, other: "_State") -> bool:
        """To the last bit."""
        import torch

        is_same_weights = all(torch.equal(each, other.weights[name]) for name, each in self.weights.items())
        return self.histories == other.histories and is_same_weights


def _read(folder: Path) -> _State:
    from autotune.training.checkpoints.checkpoint_file import read_checkpoint

    content = read_checkpoint(folder / "checkpoint.pt")
    reports = [EpochReport.model_validate_json(text) for text in content["own"]["reports"]["reports"]]
    return _State([dict(report.metrics) for report in reports], content["objects"]["model"])


class _Killed:
    """Kills trials, and holds what they leave against what they had said."""

    def __init__(self, folder: Path, *, parameters: dict[str, Scalar], epochs: int, ledger: CheckpointLedger) -> None:
        self._folder = folder
        self._parameters = parameters
        self._epochs = epochs
        self.ledger = ledger
        self.undisturbed = folder / "undisturbed"
        child = self.fork(self.undisturbed)
        times = [time.monotonic() for _ in child.epochs()]
        assert not child.end()
        self.epoch_seconds = (times[-1] - times[0]) / (len(times) - 1)

    def fork(self, folder: Path, *, epochs: int | None = None, prepare: Callable[[], None] | None = None) -> _Child:
        """Go on with the trial in this folder."""
        return _fork(folder, self._parameters, epochs=epochs or self._epochs, prepare=prepare)

    def hold(self, folder: Path, *, acknowledged: int, where: str) -> int:
        """Look at what a kill left; the epochs that it holds."""
        self.ledger.num_kills += 1
        self.ledger.num_inside += (folder / "checkpoint.tmp").exists()
        self.ledger.num_acknowledged += acknowledged
        found = len(_read(folder).histories)
        if not acknowledged <= found <= acknowledged + 1:
            self.ledger.violations.append(f"{where}: epoch {acknowledged} was said, and {found} are in the checkpoint")
        return found

    def hold_end(self, folder: Path, *, where: str) -> None:
        """Look at a trial that trained to its end after all."""
        self.ledger.num_trials += 1
        if not _read(folder).is_same(_read(self.undisturbed)):
            self.ledger.violations.append(f"{where}: other losses or weights than without a kill")
        left = sorted(each.name for each in folder.iterdir())
        if left != ["checkpoint.owner", "checkpoint.pt"]:
            self.ledger.violations.append(f"{where}: the folder holds {left}")


def kill_at_every_step(folder: Path, ledger: CheckpointLedger) -> None:
    """Write the second epoch's checkpoint again and again, and die one step later each time until no step is left."""
    killed = _Killed(folder, parameters=SMALL, epochs=3, ledger=ledger)
    start = folder / "start"
    assert not killed.fork(start, epochs=1).end()
    size = (killed.undisturbed / "checkpoint.pt").stat().st_size
    # The last one lies well inside: a file whose times have fewer digits is a few bytes shorter.
    bytes_written = range(0, size - size // 16, size // 8)
    deaths: Iterator[tuple[str, Callable[[], None]]] = itertools.chain(
        ((f"byte {at}", functools.partial(_die_at_byte, at)) for at in bytes_written),
        ((f"step {number}", functools.partial(_die_at_step, number)) for number in itertools.count()),
    )
    for where, prepare in deaths:
        trial = folder / where.replace(" ", "-")
        shutil.copytree(start, trial)
        child = killed.fork(trial, prepare=prepare)
        said = max(child.epochs(), default=0)
        was_killed = child.end()
        if was_killed:
            killed.hold(trial, acknowledged=max(said, 1), where=where)
            assert not killed.fork(trial).end()
        killed.hold_end(trial, where=where)
        shutil.rmtree(trial)
        if not was_killed:
            return


def kill_at_random(folder: Path, ledger: CheckpointLedger, *, num_kills: int, seed: int) -> None:
    """Kill trials, each again and again until it is through, at moments after an epoch's report."""
    draw = random.Random(seed)
    killed = _Killed(folder, parameters=LARGE, epochs=NUM_EPOCHS, ledger=ledger)
    num_before = ledger.num_kills
    for number in itertools.count():
        trial, done = folder / f"killed-{number}", 0
        while done < NUM_EPOCHS:
            child = killed.fork(trial)
            said = 0
            for said in child.epochs():
                if said > done and ledger.num_kills - num_before < num_kills:
                    time.sleep(draw.uniform(0.0, _MOST_EPOCHS * killed.epoch_seconds))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, signal.SIGKILL)
                    done = NUM_EPOCHS + 1
            if not child.end():
                break
            done = killed.hold(trial, acknowledged=said, where=f"trial {number} after epoch {said}")
        assert not killed.fork(trial).end()
        killed.hold_end(trial, where=f"trial {number}")
        shutil.rmtree(trial)
        if ledger.num_kills - num_before >= num_kills:
            return


def _die_at_byte(at: int) -> None:
    """Let the kernel end this process where a file of it grows beyond so many bytes."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))


def _die_at_step(number: int) -> None:
    """Let this process die before one of the calls by which it writes a checkpoint, counted from 0."""
    from autotune.training.checkpoints.checkpoint_file import write_checkpoint

    steps = itertools.count()
    writing = threading.local()

    def watch(frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - as Python hands it over
        if frame.f_code is write_checkpoint.__code__ and event in ("call", "return"):
            writing.is_inside = event == "call"
        elif (
            event == "c_call"
            and getattr(writing, "is_inside", False)
            and argument.__name__ in _IS_WORTH_A_LOOK
            and next(steps) == number
        ):
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)


def _import_all() -> None:
    """What a trial imports, some of it at its first optimizer: once here, and not in each of hundreds of processes."""
    import torch

    from autotune.training.process import run
    from tests.faults import ballast
    from tests.training import trials

    del run, ballast, trials
    torch.set_num_threads(1)  # a process with threads can't be forked safely
    for optimizer in (torch.optim.SGD, torch.optim.Adam):
        optimizer([torch.nn.Parameter(torch.zeros(1))]).step()


def main() -> int:
    """Kill as ordered, and print the ledger; 1 where anything was not as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", action="store_true")
    arguments = parser.parse_args()
    _import_all()
    ledger = CheckpointLedger()
    if arguments.steps:
        kill_at_every_step(arguments.folder / "steps", ledger)
    if arguments.kills:
        kill_at_random(arguments.folder / "random", ledger, num_kills=arguments.kills, seed=arguments.seed)
    sys.stdout.write(json.dumps(asdict(ledger)) + "\n")
    return 1 if ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
