"""The surroundings in which trials are trained: machine, launcher, observer and interrupts."""

from collections.abc import Callable
from dataclasses import dataclass, field

from autotune.coordinator.books import Books
from autotune.coordinator.company import Company
from autotune.coordinator.delivering import FirstOutage
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
    """The surroundings in which one start of a study trains, its repeated trainings included."""

    places: Places
    """Where the study's records are; the storage's URL is normalised."""
    launcher: Launcher
    machine: Machine
    company: Company
    """Other programs on the machine's devices."""
    observer: Observer
    interrupts: Interrupts
    on_beat: Callable[[], None]
    """Keeps the study's own lease while its trials are trained again in another study."""
    grace_seconds: float = GRACE_SECONDS
    outage: FirstOutage = field(default_factory=FirstOutage)

    def open_session(self, books: Books, *, ledger: Ledger, pool: DevicePool) -> Session:
        """A session of the books' study, ready to run; starts the delivery to MLflow and tells the observer."""
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
            on_beat=lambda: self.outage.look(books.publisher, note=self.observer.note),
        )
