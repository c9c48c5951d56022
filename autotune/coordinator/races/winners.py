"""What races have found for a study's task on machines like this one, by workload."""

from autotune.coordinator.books import Books
from autotune.coordinator.races.batch_room import BatchRoom
from autotune.coordinator.races.ground import Entrant, RaceGround
from autotune.coordinator.races.log import RaceLog
from autotune.coordinator.workloads import Workload
from autotune.recording.environments import EnvironmentRecords
from autotune.speed.racing.result import RaceResult


class Winners:
    """The races that are known: of this study, of earlier ones, and of its other coordinators once they are heard."""

    def __init__(self, books: Books, *, ground: RaceGround, log: RaceLog, room: BatchRoom) -> None:
        """No race is known yet.

        Args:
            books: The study's.
            ground: Its task, space and device.
            log: Where races are kept.
            room: Learns what races held of the device's memory.
        """
        self._books = books
        self._ground = ground
        self._log = log
        self._room = room
        self._known: dict[str, tuple[Workload, RaceResult]] = {}
        """By the workload's digest."""
        self._ruled_out: set[str] = set()
        """Digests of the workloads that are trained without a winner."""

    def load(self) -> None:
        """Read what is written down of machines like this one."""
        self.hear()
        books = self._books
        alike = EnvironmentRecords(books.records.engine).alike(books.environment_id)
        fallen = (row for row in books.records.fallen_back(books.study) if row.environment_id in alike)
        self._ruled_out = {self._ground.entrant(row.parameters).digest for row in fallen}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, entrant: Entrant) -> RaceResult | None:
        """The race of this workload; None where none is known."""
        known = self._known.get(entrant.digest)
        return None if known is None else known[1]

    def nearest(self, entrant: Entrant) -> RaceResult | None:
        """The race of the workload that is most like this one, or of this one; None where no race is known."""
        nearest = entrant.workload.nearest(workload for workload, _ in self._known.values())
        return None if nearest is None else self._known[self._ground.digest(nearest)][1]

    def add(self, entrant: Entrant, result: RaceResult) -> None:
        """Remember a race of this start, in place of an earlier one of its workload."""
        self._known[entrant.digest] = entrant.workload, result

    def hear(self) -> None:
        """Read what other coordinators have written down since; what is new is learned of memory, too."""
        heard = self._log.known(self._ground)
        for digest, (workload, result) in heard.items():
            if self._known.get(digest) != (workload, result):
                self._room.learn(result, workload=workload)
        self._known |= heard

    def may_grow(self, entrant: Entrant) -> bool:
        """Whether another coordinator may find a winner for this workload, or which batches fit with it."""
        known = self.of(entrant)
        return known is None or (self._ground.gpu_bytes is not None and not known.batches)

    def rule_out(self, entrant: Entrant) -> None:
        """Trials of this workload could not be trained with the speed parameters of a race."""
        self._ruled_out.add(entrant.digest)

    def is_ruled_out(self, entrant: Entrant) -> bool:
        """Whether no winner is for trials of this workload, as trials of this start or of earlier ones have shown."""
        return entrant.digest in self._ruled_out
