"""Where trials are trained: the machine, what starts them there, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass

from autotune.coordinator.books import Books
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import Observer
from autotune.coordinator.paces import GRACE_SECONDS
from autotune.coordinator.session import Session
from autotune.hardware import Machine
from autotune.recording.places import Places
from autotune.trial.launcher import Launcher
from autotune.trial.leases import DevicePool


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where one start of a study trains, and all that it trains again."""

    places: Places
    """With a normalised storage."""
    launcher: Launcher
    machine: Machine
    observer: Observer
    interrupts: Interrupts
    on_beat: Callable[[], None]
    """Keeps the study's own lease while its trials are trained again in another study."""
    grace_seconds: float = GRACE_SECONDS

    def open_session(self, books: Books, *, ledger: Ledger, pool: DevicePool) -> Session:
        """A session of the study that the books are of, ready to run; MLflow is delivered to from now on."""
        books.publisher.start()
        self.observer.study_opened(ledger.standing.view(num_running=0))
        return Session(
            ledger=ledger,
            launcher=self.launcher,
            pool=pool,
            observer=self.observer,
            interrupts=self.interrupts,
            deadlines=books.spec.deadlines,
            grace_seconds=self.grace_seconds,
        )
