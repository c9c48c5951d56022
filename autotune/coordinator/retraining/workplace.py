"""Where trainings are repeated."""

from collections.abc import Callable
from dataclasses import dataclass

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import Observer
from autotune.coordinator.session import GRACE_SECONDS
from autotune.hardware import Machine
from autotune.recording.places import Places
from autotune.trial.launcher import Launcher


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """The machine and the records of repeated trainings: beside nothing else, with the study's own lease held."""

    places: Places
    """With a normalised storage."""
    launcher: Launcher
    machine: Machine
    observer: Observer
    interrupts: Interrupts
    on_beat: Callable[[], None]
    """Keeps the study's own lease."""
    grace_seconds: float = GRACE_SECONDS
