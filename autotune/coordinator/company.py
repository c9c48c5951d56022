"""Which of a user's programs train on a device of this machine: studies, confirmations, races by hand.

Each has a locked file for each of its devices for as long as it may train there; the system frees the locks of a
process that is killed. A race needs its device to itself: it is run only where no other program may train, and a
program that begins waits for the end of a race that is under way. Programs of other users, and those of containers
with a folder for temporary files of their own, are not seen.
"""

import getpass
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from autotune.hardware import TorchFacts
from autotune.trial.leases import list_devices, resolve_device

_POLL_SECONDS = 0.2
_LONGEST_NAME = 200
_PROGRAMS = "programs"
_RACE = "race.lock"


class Company:
    """The other programs on this one's devices; in force between ``join`` and ``leave``."""

    def __init__(self, devices: Sequence[str] = (), *, who: str = "", folder: Path | None = None) -> None:
        """Name the devices.

        Args:
            devices: Their ids, the same in every program; none: nobody is looked for, and nobody sees this program.
            who: What other programs say of this one, such as ``study mnist``.
            folder: The programs' common folder; that of the user, if left out.
        """
        root = _user_folder() if folder is None else folder
        self._folders = tuple(root / device.replace(os.sep, "_") for device in devices)
        # All that others want to know stands in the name: what is in a file, locking it may truncate.
        self._name = f"{os.getpid()}.{uuid.uuid4().hex[:8]}.{who.replace(os.sep, '_')[:_LONGEST_NAME]}"
        self._held = ExitStack()

    def join(self) -> Self:
        """Be seen from now on."""
        for folder in self._folders:
            (folder / _PROGRAMS).mkdir(mode=0o700, parents=True, exist_ok=True)
            with _looking(folder):
                self._hold(folder / _PROGRAMS / self._name)
        return self

    def leave(self) -> None:
        """Be seen no more."""
        self._held.close()

    def others(self) -> tuple[str, ...]:
        """What the other living programs on these devices are called, such as ``study mnist (pid 4711)``."""
        found: dict[str, None] = {}
        for folder in self._folders:
            with _looking(folder):
                for path in (folder / _PROGRAMS).iterdir():
                    if path.name != self._name and _is_held(path):
                        pid, _, who = path.name.split(".", 2)
                        found[f"{who} (pid {pid})"] = None
        return tuple(found)

    def words(self) -> str | None:
        """Who else may train on these devices, as the beginning of a line; None where nobody does."""
        others = self.others()
        return f"{', '.join(others)} may train on this device, too" if others else None

    @contextmanager
    def race_right(self) -> Iterator[bool]:
        """Whether a race may be run now; programs that begin meanwhile wait for its end."""
        with ExitStack() as stack:
            yield all(_begin_race(folder, stack=stack) for folder in self._folders) and not self.others()

    def wait_for_race(self, *, tell: Callable[[str], None], should_give_up: Callable[[], bool]) -> None:
        """Wait until no other program races on these devices; after ``join`` none begins to.

        Args:
            tell: Called with a line, where there is something to wait for.
            should_give_up: Asked often; a true answer ends the wait.
        """
        is_told = False
        while any(map(_is_raced_on, self._folders)) and not should_give_up():
            if not is_told:
                tell(f"waiting for the end of a race, which needs the device to itself: {', '.join(self.others())}")
                is_told = True
            time.sleep(_POLL_SECONDS)

    def _hold(self, path: Path) -> None:
        lock = FileLock(path, blocking=False, thread_local=False)
        lock.acquire()
        self._held.callback(_drop, lock, path)


@contextmanager
def joined(
    asked: str,
    *,
    facts: TorchFacts,
    who: str,
    meaning: str,
    tell: Callable[[str], None],
    should_give_up: Callable[[], bool] = lambda: False,
) -> Iterator[Company]:
    """The company of a program that is about to train on the device of a spec; no other one races there.

    Args:
        asked: The spec's ``device``, such as ``auto``; it is there.
        facts: What torch sees of this machine.
        who: What other programs say of this one, such as ``study mnist``.
        meaning: What it means where others are there already, such as ``nothing is raced``.
        tell: Called with a line on others, where a race is waited for, and where nobody can be seen.
        should_give_up: Asked often while a race is waited for; a true answer ends the wait.
    """
    devices = list_devices(resolve_device(asked, facts=facts), facts=facts)
    company = Company([_identity(device, facts=facts) for device in devices], who=who)
    try:
        company.join()
    except OSError as error:
        company.leave()
        company = Company()
        tell(f"other programs that train on this device are not seen: {error}")
    try:
        company.wait_for_race(tell=tell, should_give_up=should_give_up)
        if (words := company.words()) is not None:
            tell(f"{words}: {meaning}")
        yield company
    finally:
        company.leave()


def _identity(device: str, *, facts: TorchFacts) -> str:
    """What the device is called in every program, whatever CUDA_VISIBLE_DEVICES makes of its number."""
    if device == "cpu":
        return device
    index = int(device.removeprefix("cuda:"))
    return facts.accelerator_ids[index] if index < len(facts.accelerator_ids) else device


def _user_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "autotune" / "devices"
    return Path(tempfile.gettempdir()) / f"autotune-{getpass.getuser()}" / "devices"


@contextmanager
def _looking(folder: Path) -> Iterator[None]:
    """Nobody else comes, goes or looks; a moment."""
    with FileLock(folder / "look.lock"):
        yield


def _is_held(path: Path) -> bool:
    """Whether the file's program lives; the file of a dead one is removed."""
    try:
        with FileLock(path, blocking=False):
            path.unlink(missing_ok=True)
    except Timeout:
        return True
    return False


def _drop(lock: FileLock, path: Path) -> None:
    with suppress(OSError):  # a folder for temporary files may have been cleared
        path.unlink(missing_ok=True)
    lock.release()


def _begin_race(folder: Path, *, stack: ExitStack) -> bool:
    with _looking(folder):
        try:
            stack.enter_context(FileLock(folder / _RACE, blocking=False))
        except Timeout:
            return False
    return True


def _is_raced_on(folder: Path) -> bool:
    with _looking(folder):
        try:
            with FileLock(folder / _RACE, blocking=False):
                return False
        except Timeout:
            return True
