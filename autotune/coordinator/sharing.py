"""The ledger of a coordinator that shares its study: it claims trials, and observes those of other coordinators.

Each claim is one transaction under the study's lock, in which the trials are counted, so that a
budget's number is exact, and a trial has one coordinator. A trial without a coordinator (its own has
ended, or is dead) is claimed before a new one is asked for.
"""

from collections.abc import Collection, Iterable, Sequence

from typing_extensions import override

from autotune.coordinator.admission import Admission
from autotune.coordinator.books import Books
from autotune.coordinator.histories import read_histories
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import Ending
from autotune.coordinator.speeds import Floor, Speeds
from autotune.coordinator.standing import Standing, ending_of
from autotune.coordinator.tickets import Ticket
from autotune.events import Finished, Outcome
from autotune.outages import persist
from autotune.recording.crew import Claim, Crew
from autotune.recording.rows import TrialRow, TrialStatus
from autotune.search.proposals import Proposal
from autotune.trial.leases import Lease


class SharedLedger(Ledger):
    """The ledger of one of a study's several coordinators."""

    def __init__(self, books: Books, *, crew: Crew, standing: Standing, speeds: Speeds, admission: Admission) -> None:
        super().__init__(books, standing=standing, speeds=speeds, admission=admission)
        self._crew = crew
        self._elsewhere: set[int] = set()
        """Numbers of unfinished trials that this coordinator does not have."""
        self._mine: set[int] = set()
        """Numbers of unfinished trials that this coordinator has."""
        self._newest = -1

    @override
    def unfinished(self) -> list[Ticket]:
        """What this coordinator has asked for already, as a warm start asks for the baseline; learns from all rows.

        Trials without a coordinator are claimed one by one in ``ask``.
        """
        rows = self._settle()
        self._learn({row.number: row for row in rows})
        return [Ticket(row) for row in rows if row.number in self._mine and not row.is_over]

    @override
    def ask(self, floor: Floor | None = None) -> Ticket | None:
        """An unfinished trial without a coordinator, else a new one; None where there is neither at the moment."""
        row, proposal = persist(self._claim)
        if row is None:
            return None
        self._mine.add(row.number)
        if proposal is None:
            return self._take_over(row, floor=floor)
        return Ticket(row) if floor is None else self.take_up(Ticket(row), floor=floor)

    @override
    def hear_of_others(self) -> bool:
        """Bury dead coordinators and learn what others recorded; whether there may be a trial to claim."""
        if self._crew.bury():
            self._learn_of_others(self._settle())
        self._observe()
        return self.standing.has_trials_left or self._crew.has_free_trials()

    @override
    def awaits_others(self) -> bool:
        """Whether the study has unfinished trials that this coordinator does not have."""
        self._observe()
        return bool(self._elsewhere)

    @override
    def take_left_over(self, waiting: list[Ticket]) -> list[Ticket]:
        """The waiting trials, and all unfinished ones without a coordinator, when the budget's time is up."""
        left = list(waiting)
        while (row := persist(self._take_free)) is not None:
            self._mine.add(row.number)
            left.append(self._take_over(row, floor=None))
        return left

    @override
    def order_ahead(self, ticket: Ticket, *, lease: Lease) -> None:
        """None: another coordinator may ask for the next trial."""

    @override
    def record_end(self, ticket: Ticket, finished: Finished) -> Finished:
        """Record how the trial ended."""
        recorded = super().record_end(ticket, finished)
        if finished.outcome is not Outcome.INTERRUPTED:  # an interrupted one may wait for memory, and stays claimed
            self._mine.discard(ticket.row.number)
        return recorded

    def _claim(self) -> tuple[TrialRow | None, Proposal | None]:
        """A trial for this coordinator, with the proposal if it is a new one."""
        with self._crew.claim() as claim:
            row = claim.take_free(had=self._mine)
            proposal = None if row is not None else self._next(claim)
            if proposal is not None:
                # No race here, while others wait to claim: ``ask`` races afterwards, which may change the parameters.
                row = claim.add(self._new_trial(proposal))
            self.standing.set_trials(claim.num_trials())
            return row, proposal

    def _take_free(self) -> TrialRow | None:
        """Claim an unfinished trial without a coordinator; None where there is none."""
        with self._crew.claim() as claim:
            return claim.take_free(had=self._mine)

    def _next(self, claim: Claim) -> Proposal | None:
        """The trial to add; one that is in Optuna's tables alone comes first, since its claim was cut off.

        None where the budget of trials is used up, or the search has nothing more to propose.
        """
        search = self._books.search
        running = search.in_flight()
        recorded = claim.recorded([trial.number for trial in running])
        cut_off = next((trial for trial in running if trial.number not in recorded), None)
        if cut_off is not None:
            return search.adopt(cut_off.optuna_id)
        budget = self._books.spec.budget.trials
        if budget is not None and claim.num_trials() >= budget:
            return None
        return search.ask()

    def _take_over(self, row: TrialRow, *, floor: Floor | None) -> Ticket:
        """The ticket of a trial that was just claimed and that another coordinator, or an earlier start, asked for."""
        self._elsewhere.discard(row.number)
        self._books.search.take_over(row.number)
        ticket = Ticket(row, is_adopted=row.status is TrialStatus.RUNNING)
        return ticket if floor is None else self.take_up(ticket, floor=floor)

    def _settle(self) -> tuple[TrialRow, ...]:
        """Bring Optuna's rows up to date with ours; returns all our rows."""
        return persist(self._settle_claimed)

    def _settle_claimed(self) -> tuple[TrialRow, ...]:
        """One attempt to settle, which is undone as a whole where the database server goes away."""
        with self._crew.claim():  # so that no trial is half way between Optuna's tables and ours
            return self._settle_alone()

    def _settle_alone(self) -> tuple[TrialRow, ...]:
        """Settle while no other coordinator claims; trials of living coordinators are left as they are."""
        books = self._books
        rows = books.records.trials(books.study)
        living = self._crew.tokens()
        others = {row.number for row in rows if row.worker in living and row.worker != self._crew.token}
        histories = read_histories(books.records, books.study, rows=self._behind(rows), spec=books.spec)
        books.search.reconcile(histories, elsewhere=others)
        self._newest = max((row.number for row in rows), default=-1)
        self._elsewhere = {row.number for row in rows if not row.is_over and row.worker != self._crew.token}
        running = {trial.number for trial in books.search.running()}
        self._hear(row for row in rows if row.is_over and row.number in others & running)
        self._count_ended(rows)  # since they were observed last
        return rows

    def _observe(self) -> None:
        """Learn what other coordinators have recorded since the last time: new trials, and ends."""
        records, study = self._books.records, self._books.study
        rows = records.newer_trials(study, than=self._newest, and_those=self._elsewhere)
        self._newest = max((self._newest, *(row.number for row in rows)))
        others = [row for row in rows if row.worker != self._crew.token and row.origin is None]
        self._elsewhere = {row.number for row in others if not row.is_over}
        self._hear(others)
        self._count_ended(others)
        self._learn_of_others(others)

    def _count_ended(self, rows: Iterable[TrialRow]) -> None:
        """Count the study's own trials among these that have ended, and were not counted yet."""
        for row in rows:
            ending = ending_of(row)
            is_counted = row.origin is not None or self.standing.has_counted(row.number)
            if row.is_over and ending is not None and not is_counted:
                self._count(ending)

    def _learn_of_others(self, rows: Sequence[TrialRow]) -> None:
        """Learn what these trials tell of memory, and of the time that a confirmation would take."""
        self._admission.load(rows)
        self._reserve.load(self._books.records, rows={row.number: row for row in rows if row.is_over})

    @override
    def _count(self, ending: Ending) -> None:
        # On a tie no checkpoint is deleted: other coordinators counted in another order, and may keep another trial's.
        if ending.value is not None and ending.value == self.standing.best_value:
            self.standing.count(ending)
        else:
            super()._count(ending)

    def _hear(self, rows: Iterable[TrialRow]) -> None:
        """Let the search learn from trials of other coordinators."""
        books = self._books
        heard: Collection[TrialRow] = list(rows)
        if heard:
            for history in read_histories(books.records, books.study, rows=heard, spec=books.spec):
                books.search.observe(history)
