"""A trial's checkpoint: everything that a later process needs to go on as if nothing had happened."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from autotune.errors import TaskError
from autotune.training.checkpoints.background import Background
from autotune.training.checkpoints.checkpoint_file import FORMAT, CheckpointFile, read_checkpoint
from autotune.training.checkpoints.saving import Saver
from autotune.training.checkpoints.snapshot import Snapshot
from autotune.training.rng import capture_rng, restore_rng


@runtime_checkable
class Stateful(Protocol):
    """Anything whose state can be taken and given back: a module, an optimizer, an object of the user's own."""

    def state_dict(self) -> Any:  # noqa: ANN401 - each class has its own
        """The state, made of tensors, numbers, text, lists and dicts."""

    def load_state_dict(self, state_dict: Any, /) -> Any:  # noqa: ANN401 - as above
        """Take the state over."""


class Place(Protocol):
    """Where a trial stands, as its checkpoint needs to know."""

    @property
    def epochs_done(self) -> int:
        """The epoch of the last report; 0 before the first."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the trial so far."""

    @property
    def is_between_epochs(self) -> bool:
        """Whether nothing was trained since the last report."""

    @property
    def can_resume_inside_epoch(self) -> bool:
        """Whether a later process can start at the batch that comes next."""


class Checkpoint:
    """``trial.checkpoint``: remembers the objects that make up the training, saves and restores them.

    A checkpoint also holds the states of all random generators, the trial's reports and its place in the epoch.

    At an epoch's report the states are copied on the training thread and written on another, one write at a
    time. That was never slower than writing on the training thread by more than 1 ms an epoch (one core, a
    state of 0.1 MB), and from 9 MB on it hides nearly all of the write, so that small states need no second way.

    Where the disk takes no checkpoint, training goes on, the last one that was written stays, and the next
    report tries again.
    """

    def __init__(
        self,
        path: Path,
        *,
        saver: Saver,
        device: torch.device,
        own: Mapping[str, Stateful],
        place: Place,
        goes_on_after: Callable[[], int],
        is_wanted: Callable[[], bool],
    ) -> None:
        self.path = path
        self._device = device
        self._own = own
        self._place = place
        self._goes_on_after = goes_on_after
        self._is_wanted = is_wanted
        self._objects: dict[str, Stateful] = {}
        self._saved_at: tuple[int, ...] | None = None
        self._background = Background()
        self._saver = saver
        self._snapshot: Snapshot | None = None
        self._is_forgone = False

    @property
    def objects(self) -> Mapping[str, Stateful]:
        """The objects that are saved, by name."""
        return self._objects

    def forgo(self) -> None:
        """Write no checkpoint in this process, which does not become the one that trains the trial either."""
        self._is_forgone = True

    def restore(self, **objects: Stateful) -> int:
        """Remember the objects, and give them the states that they had when the trial was stopped.

        From now on ``trial.report`` saves them by itself. Call this once, when all of them are made, just
        before the loop over epochs.

        Returns:
            The number of epochs done; 0 for a fresh start, and ``trial.epochs`` where nothing is left to be trained,
            since an earlier process saw the trial's targets or used its seconds or samples up.

        Raises:
            TaskError: The checkpoint can't be read, or holds other objects.
        """
        self._remember(objects)
        if not self._is_forgone:
            self._saver.begin()
        if not self.path.exists():
            return 0
        content = read_checkpoint(self.path)
        if content["objects"].keys() != objects.keys():
            saved, asked = (", ".join(sorted(names)) for names in (content["objects"], objects))
            raise TaskError(f"{self.path}: the checkpoint holds {saved}, but {asked} are to be restored")
        for name, item in objects.items():
            item.load_state_dict(content["objects"][name])
        for name, part in self._own.items():
            part.load_state_dict(content["own"][name])
        restore_rng(content["rng"], device=self._device)
        self._saved_at = self._position(inside_epoch=False)
        return self._goes_on_after()

    def save(self, **objects: Stateful) -> None:
        """Remember the objects, and write them if an epoch was just reported.

        A call before the epoch's report only remembers them, and the report writes them: either order is right.
        """
        self._remember(objects)
        if self._objects and self._place.is_between_epochs:
            self._write(inside_epoch=False)

    def save_behind(self, then: Callable[[], None]) -> None:
        """Write the remembered objects in a thread of its own, which calls ``then`` when the file is on the disk.

        Where there is nothing to write, ``then`` is called at once. A call waits for the write of the one before.

        Raises:
            Exception: The error of the write before, whose ``then`` was not called.
        """
        self.wait()
        work = self._take(inside_epoch=False) if self._objects else None
        if work is None:
            then()
            return

        def write() -> None:
            work()
            then()

        self._saved_at = self._position(inside_epoch=False)
        self._background.run(write, name="checkpoint")

    def wait(self) -> None:
        """Wait until all is written, and raise what a write raised."""
        try:
            self._background.wait()
        except BaseException:
            self._saved_at = None
            raise

    def join(self) -> None:
        """Wait until nothing is being written, whatever came of it."""
        self._background.join()

    def save_inside_epoch(self) -> None:
        """Write a checkpoint inside the epoch, so that a later process goes on there and not at the epoch's start.

        This is for a loop that takes its batches from ``trial.loader`` and has handed its running
        sums to ``restore``. Where the loader can't start at this place, the last epoch's checkpoint stays.
        """
        if self._place.can_resume_inside_epoch:
            self._write(inside_epoch=True)
        else:
            self.save()

    def _remember(self, objects: Mapping[str, Stateful]) -> None:
        """Save these objects from now on, beside those that were remembered before."""
        for name, item in objects.items():
            if not isinstance(item, Stateful):
                raise TaskError(
                    f"checkpoint: {name}: what is saved needs state_dict and load_state_dict, got {type(item).__name__}"
                )
        if not objects.keys() <= self._objects.keys():
            self._saved_at = None
        self._objects.update(objects)

    def _position(self, *, inside_epoch: bool) -> tuple[int, ...]:
        """What tells two checkpoints apart: epochs, steps, and whether it is inside an epoch."""
        return self._place.epochs_done, self._place.steps, int(inside_epoch)

    def _write(self, *, inside_epoch: bool) -> None:
        """Write the training as it stands now, on this thread."""
        self.wait()
        work = self._take(inside_epoch=inside_epoch)
        if work is not None:
            self._saved_at = self._position(inside_epoch=inside_epoch)
            work()

    def _take(self, *, inside_epoch: bool) -> Callable[[], None] | None:
        """A function that writes the training as it stands now; None where that is written already, or not wanted."""
        is_saved = self._position(inside_epoch=inside_epoch) == self._saved_at
        if is_saved or self._is_forgone or not self._is_wanted():
            return None
        self._snapshot = snapshot = Snapshot(self._snapshot)  # the last write is over
        content: CheckpointFile = {
            "format": FORMAT,
            "objects": {name: snapshot.take(item.state_dict(), name) for name, item in self._objects.items()},
            "own": {name: snapshot.take(part.state_dict(), name) for name, part in self._own.items()},
            "rng": capture_rng(self._device),
        }
        arrive = snapshot.seal()

        def write() -> None:
            arrive()
            if not self._saver.save(content, num_bytes=snapshot.num_bytes):
                self._saved_at = None

        return write
