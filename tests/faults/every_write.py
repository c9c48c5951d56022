"""The n-th write of a short study fails, or the coordinator is killed before its n-th transaction: for every n.

The study is a real one but for its trials, which train in no time (``tests/coordinator/simulated.py``). After each
fault the same start is made again, and at the end everything that was acknowledged must stand, once, in our tables and
in Optuna's, with exactly the budget's trials.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from tests.coordinator.simulated import SimulatedCoordinator, make_study
from tests.properties.test_study_survives import StudyMachine

Fault: TypeAlias = Literal["write fails", "killed"]
FAULTS: tuple[Fault, ...] = ("write fails", "killed")


@dataclass
class Outcome:
    """What came of one fault at every place."""

    num_faults: int = 0
    violations: list[str] = field(default_factory=list)


def inject_everywhere(fault: Fault, *, first: int = 0, step: int = 1) -> Outcome:
    """Inject the fault at the places ``first``, ``first + step`` and so on, until a run completes without one."""
    outcome = Outcome()
    with _template() as template:
        StudyMachine.template = template
        place = first
        while _inject(fault, place, outcome=outcome):
            outcome.num_faults += 1
            place += step
    return outcome


@contextmanager
def _template() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="autotune-writes-", dir=_memory()) as folder:
        template = Path(folder) / "template"
        template.mkdir()
        make_study(template)
        yield template


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 2**30 else None


def _inject(fault: Fault, place: int, *, outcome: Outcome) -> bool:
    """Whether the study came to that place at all."""
    machine = StudyMachine()
    machine.copy_the_study()
    coordinator = SimulatedCoordinator(machine.folder, acknowledged=machine.told, checkpoints=machine.checkpoints)
    machine.current = coordinator
    try:
        try:
            has_come = _disturb(machine, coordinator, fault=fault, place=place)
            machine.what_was_told_is_kept()
        finally:
            machine.teardown()
    except AssertionError as violation:
        outcome.violations.append(f"{fault} at {place}: {violation}")
        return True
    return has_come


def _disturb(machine: StudyMachine, coordinator: SimulatedCoordinator, *, fault: Fault, place: int) -> bool:
    if fault == "write fails":
        coordinator.fail_write_after(place)
        coordinator.start()
    else:
        coordinator.start(freeze_after=place)
    while not coordinator.is_over and not coordinator.is_frozen:
        living = machine.living()
        if not living:
            coordinator.hear(None, [])
            continue
        try:
            machine.train(living[0])
        except Exception:
            if coordinator.error is None:
                raise
    has_come = coordinator.is_frozen or coordinator.has_failed
    if not coordinator.is_complete:
        coordinator.kill()
    machine.current = None
    return has_come
