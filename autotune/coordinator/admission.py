"""Decides by what is known of memory which trials are launched; each trial that ends adds to that knowledge."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from autotune.coordinator.books import Books
from autotune.coordinator.exits import shortage_of
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.tickets import Refusal, Ticket
from autotune.events import EpochReport, Finished, Scalar
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.rows import TrialRow
from autotune.trial.leases import Lease


class Admission(Protocol):
    """Decides which trials are launched."""

    def refusal(self, number: int, *, parameters: Mapping[str, Scalar], lease: Lease) -> Refusal | None:
        """Why the trial is not to be launched there; None where nothing speaks against it."""

    def was_lost_in_race(self, ticket: Ticket) -> bool:
        """The trial was refused because a race of the same training ran out of memory on this device."""

    def learn(self, row: TrialRow, finished: Finished, *, reports: Sequence[EpochReport]) -> None:
        """Learn from a trial of this start that has ended or was interrupted."""

    def load(self, rows: Iterable[TrialRow]) -> None:
        """Learn from the ended trials among these, of earlier starts and other coordinators."""


class AdmitAll:
    """Every trial is launched, and nothing is learned: for trainings that have fitted before."""

    def refusal(self, number: int, *, parameters: Mapping[str, Scalar], lease: Lease) -> None:
        """None: nothing speaks against a trial."""

    def was_lost_in_race(self, ticket: Ticket) -> bool:
        """Never: nothing is refused."""
        del ticket
        return False

    def learn(self, row: TrialRow, finished: Finished, *, reports: Sequence[EpochReport]) -> None:
        """Nothing is learned."""

    def load(self, rows: Iterable[TrialRow]) -> None:
        """Nothing is learned."""


class MemoryAdmission:
    """Refuses trials that are known to run out of memory.

    Args:
        books: The study's books, with its earlier trials.
        fitting: Predicts whether a trial fits in memory.
    """

    def __init__(self, books: Books, *, fitting: Fitting) -> None:
        self._books = books
        self._fitting = fitting

    def refusal(self, number: int, *, parameters: Mapping[str, Scalar], lease: Lease) -> Refusal | None:
        """Why the trial is not to be launched there; None where nothing speaks against it."""
        reason = self._fitting.reason_not_to_launch(number, parameters=parameters, lease=lease)
        if reason is None:
            return None
        return Refusal(reason, is_crowded=self._fitting.fits_alone(parameters=parameters, lease=lease))

    def was_lost_in_race(self, ticket: Ticket) -> bool:
        """The trial was refused because a race of the same training ran out of memory on this device."""
        return ticket.refusal is not None and self._fitting.raced_shortage(ticket.row.parameters) is not None

    def learn(self, row: TrialRow, finished: Finished, *, reports: Sequence[EpochReport]) -> None:
        """Learn its peak memory, or what kind of memory it ran out of."""
        self._fitting.learn(
            row.number,
            parameters=row.parameters,
            peak_bytes=max((report.peak_memory_bytes for report in reports), default=None),
            shortage=shortage_of(finished.reason, is_out_of_memory=finished.is_out_of_memory),
        )

    def load(self, rows: Iterable[TrialRow]) -> None:
        """Learn from the ended trials among these that trained on hardware and software like that of this start."""
        books = self._books
        ended = [row for row in rows if row.is_over and row.environment_id is not None]
        if not ended:
            return
        peaks = books.records.peak_memory(books.study)
        alike = EnvironmentRecords(books.records.engine).alike(books.environment_id)
        for row in ended:
            if row.environment_id in alike:
                self._fitting.learn(
                    row.number,
                    parameters=row.parameters,
                    peak_bytes=peaks.get(row.number),
                    shortage=shortage_of(row.reason, is_out_of_memory=row.is_out_of_memory),
                )
