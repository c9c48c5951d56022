"""What is written when: our own tables first, then Optuna, then word to the publisher.

A crash between two of these writes is mended at the next start, because the first of them is
the truth that the others are caught up with.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autotune.coordinator.admission import Admission
from autotune.coordinator.aims import add_last_word, compares_speed, judge
from autotune.coordinator.books import Books
from autotune.coordinator.first_failures import FirstFailures
from autotune.coordinator.histories import read_histories
from autotune.coordinator.observer import Ending, TrialView
from autotune.coordinator.orders import make_order
from autotune.coordinator.readiness import Readiness
from autotune.coordinator.reports import Reports
from autotune.coordinator.reserve import Reserve
from autotune.coordinator.seeds import trial_seed
from autotune.coordinator.speeds import Floor, Speeds
from autotune.coordinator.standing import Standing
from autotune.coordinator.tickets import Answer, Ticket
from autotune.events import Adjusted, EpochReport, Finished, Outcome, Scalar, Started, TrialOrder, Unsaved
from autotune.figures import format_figure
from autotune.goals import BASELINE_NUMBER
from autotune.outages import persist
from autotune.recording.drafts import NewTrial
from autotune.recording.rows import TrialRow, TrialStatus
from autotune.search.proposals import Proposal
from autotune.trial.leases import Lease


class Ledger:
    """Writes everything that happens to a study's trials, in the order that survives a crash.

    Args:
        books: The study's.
        standing: Its totals, which are counted here.
        speeds: Where speed parameters come from.
        admission: Which trials are launched.
    """

    def __init__(self, books: Books, *, standing: Standing, speeds: Speeds, admission: Admission) -> None:
        self._books = books
        self._speeds = speeds
        self._admission = admission
        self._readiness = Readiness(books, speeds=speeds, admission=admission)
        self.standing = standing
        self._reports = Reports(books)
        self._failures = FirstFailures()
        self._unsaved: set[int] = set()
        self._reserve = Reserve(repeats=books.spec.confirm.repeats, limit=books.spec.budget.seconds, standing=standing)

    def unfinished(self) -> list[Ticket]:
        """Trials of earlier starts that have not ended, which are adopted under their numbers; learns from all others.

        Optuna's rows are caught up with ours first. A trial that Optuna alone has was cut off while it was asked for,
        and is written down now.
        """
        books = self._books
        rows = {row.number: row for row in books.records.trials(books.study)}
        histories = read_histories(books.records, books.study, rows=self._behind(rows.values()), spec=books.spec)
        books.search.reconcile(histories)
        self._learn(rows)
        self._sweep(rows.values())
        for running in books.search.running():
            if running.number not in rows:
                proposal = persist(functools.partial(books.search.adopt, running.optuna_id))
                new = self._new_trial(proposal)
                rows[running.number] = books.records.add_trial(books.study, new=new)
                self.standing.add_trial()
        return [
            Ticket(row, is_adopted=row.status is TrialStatus.RUNNING)
            for _, row in sorted(rows.items())
            if not row.is_over
        ]

    def _sweep(self, rows: Iterable[TrialRow]) -> None:
        """Delete checkpoints that nothing needs, which a crash between a trial's last record and that has left."""
        for row in rows:
            if row.is_over and not self._keeps_checkpoint(row.number):
                self._books.files.remove_checkpoint(row.number)

    def _keeps_checkpoint(self, number: int) -> bool:
        """Whether a trial that is over keeps its checkpoint: the best one does, whose model is logged from it."""
        return number == self.standing.best_number

    def ask(self, floor: Floor | None = None) -> Ticket | None:
        """The next trial, written down everywhere before it starts; None when space or budget are exhausted.

        Args:
            floor: Where a race for its speed parameters may be run; without one, none is.
        """
        books = self._books
        search = books.search
        proposal = persist(search.ask, again=search.ask_again) if self.standing.has_trials_left else None
        if proposal is None:
            return None
        self.standing.add_trial()
        if floor is None:
            return Ticket(books.records.add_trial(books.study, new=self._new_trial(proposal)))
        self._speeds.measure(proposal.number, proposal.parameters, floor=floor)  # may take minutes
        new = self._new_trial(proposal, lease=floor.lease)
        ticket = Ticket(books.records.add_trial(books.study, new=new))
        return self._readiness.hold_against_memory(ticket, lease=floor.lease)

    def hear_of_others(self) -> bool:
        """Learn what other coordinators have done; whether there may be a trial to ask for again. Here is no other."""
        return False

    def awaits_others(self) -> bool:
        """Whether other coordinators run trials, which this one would have to go on with if they died."""
        return False

    def take_left_over(self, waiting: list[Ticket]) -> list[Ticket]:
        """The trials that have not ended when the budget's time is up, and run nowhere; ``waiting`` among them."""
        return waiting

    def ask_ahead(self) -> None:
        """Find the next proposal while there is nothing else to do; nothing is written down."""
        if self.standing.has_trials_left:
            persist(self._books.search.ask_ahead)

    def take_up(self, ticket: Ticket, *, floor: Floor) -> Ticket:
        """Make a trial of an earlier start ready for launch, or refuse it; races may be run, for minutes.

        One that was never launched gets the speed parameters that a new trial would have: its start may have been cut
        off in the race for them, or have been on another machine. Where several train at once, the first race is run
        before one that was launched, too: afterwards there may be no moment at which nothing trains.
        """
        if floor.is_alone and self.standing.has_trials_left:
            self._speeds.measure_first(floor)
        if ticket.is_adopted:
            return ticket
        decided = self._readiness.decide_speed(ticket, floor=floor)
        return self._readiness.hold_against_memory(decided, lease=floor.lease)

    def order(self, ticket: Ticket, *, lease: Lease) -> TrialOrder:
        """What the trial's process needs to train on that lease."""
        books, row = self._books, ticket.row
        return make_order(
            books.spec,
            study=books.study.name,
            number=row.number,
            parameters=row.parameters,
            seed=row.seed,
            lease=lease,
            folder=books.files.trial_folder(row.number),
        )

    def order_ahead(self, ticket: Ticket, *, lease: Lease) -> TrialOrder | None:
        """The order of the trial that probably follows this one, which trains there; nothing is written down.

        None where that can't be told, where it is known not to be launched, where others train on the machine, or where
        setting it up would change the result of the trial beside it.
        """
        is_disturbing = self._is_contended() or compares_speed(self._books.spec)
        if is_disturbing or not self.standing.has_trials_left:
            return None
        return self._readiness.order_ahead(ticket, lease=lease)

    def record_launch(self, ticket: Ticket, *, pid: int, device: str) -> None:
        """Record that a process of the trial was started."""
        books = self._books
        books.records.launch_trial(
            ticket.row,
            pid=pid,
            device=device,
            environment_id=books.environment_id,
            git_commit=books.git_commit,
            is_contended=self._is_contended(),
        )
        if self._is_contended() or ticket.row.is_contended:
            books.search.mark_contended(ticket.row.number)
        books.publisher.notify()

    def record_start(self, ticket: Ticket, event: Started) -> None:
        """Record that the trial trains, and with what in force."""
        self._books.records.start_trial(ticket.row, started=event)
        self._books.publisher.notify()

    def record_adjustment(self, ticket: Ticket, event: Adjusted) -> None:
        """Record that training changed what is in force."""
        self._books.records.adjust_trial(ticket.row, adjusted=event)
        self._books.publisher.notify()

    def record_checkpoint_problem(self, ticket: Ticket, event: Unsaved) -> None:
        """Record that the trial's checkpoint can't be written, or can again; problems of its log are not recorded."""
        if event.file != "checkpoint":
            return
        self._books.records.set_checkpoint_problem(ticket.row, problem=event.problem)
        if event.problem is None:
            self._unsaved.discard(ticket.row.number)
        else:
            self._unsaved.add(ticket.row.number)
        self._books.publisher.notify()

    def record_reports(self, reports: Sequence[tuple[Ticket, EpochReport]]) -> list[Answer]:
        """Record epochs of one or several trials together, and answer each in order.

        Those that were recorded before a trial was resumed get no answer.
        """
        answers = self._reports.record(reports)
        self._books.publisher.notify()
        return answers

    def record_end(self, ticket: Ticket, finished: Finished) -> Finished:
        """Record how the trial ended or was interrupted, and keep or delete its checkpoint; gives what is recorded."""
        number = ticket.row.number
        finished, values = self._judge(ticket, finished)
        self._admission.learn(ticket.row, finished, reports=self._reports.of(number))
        self._write_end(ticket, finished, values=values)
        if finished.outcome is not Outcome.INTERRUPTED:
            value = values[0] if values else None
            self._learn_from_end(Ending(number, finished.outcome, value=value, reason=finished.reason))
        self._books.publisher.notify()
        return finished

    def _judge(self, ticket: Ticket, finished: Finished) -> tuple[Finished, tuple[float, ...] | None]:
        """What is recorded of the end, by the trial's reports, with the objectives' values; None for none."""
        spec, reports = self._books.spec, self._reports.of(ticket.row.number)
        finished, values = judge(finished, objectives=spec.objectives, reports=reports)
        finished = add_last_word(finished, reports=reports, spec=spec)
        if self._admission.was_lost_in_race(ticket):  # later starts are to know
            finished = finished.model_copy(update={"is_out_of_memory": True})
        return finished, values

    def _write_end(self, ticket: Ticket, finished: Finished, *, values: tuple[float, ...] | None) -> None:
        """Our row, then Optuna's."""
        books, row = self._books, ticket.row
        # A trial that was never launched has no environment of its own: what it says of memory is of this one.
        ran_on = books.environment_id if self._admission.was_lost_in_race(ticket) else None
        books.records.finish_trial(row, finished=finished, values=values, environment_id=ran_on)
        if finished.outcome is not Outcome.INTERRUPTED:
            books.search.tell(
                row.number,
                outcome=finished.outcome,
                values=values,
                reason=finished.reason,
                samples_per_second=finished.samples_per_second,
            )

    def _learn_from_end(self, ending: Ending) -> None:
        """Count the trial, which is over, and delete its checkpoint unless it is the best one's and whole."""
        number, reports = ending.number, self._reports.of(ending.number)
        self._reports.forget(number)
        self._failures.add(ending.outcome, ending.reason)
        self._count(ending)
        if number in self._unsaved:  # what is there is of an earlier epoch: no model of this trial's value
            self._unsaved.discard(number)
            self._books.files.remove_checkpoint(number)
        self._reserve.learn(number, reports, outcome=ending.outcome)

    def record_restart(self, ticket: Ticket) -> Ticket:
        """Record that the trial's process was killed and another one takes its place."""
        self._books.records.count_restart(ticket.row)
        return replace(ticket, restarts=ticket.restarts + 1, is_adopted=True)

    def fallback(self, ticket: Ticket, finished: Finished) -> Mapping[str, Scalar] | None:
        """What a trial that ended so may be tried with once more, from its beginning; None where there is nothing."""
        return self._readiness.fallback(ticket, finished)

    def record_fallback(self, ticket: Ticket, finished: Finished, *, parameters: Mapping[str, Scalar]) -> Ticket:
        """Record that the trial begins anew with its ``fallback``."""
        self._reports.forget(ticket.row.number)
        return self._readiness.fall_back(ticket, finished, parameters=parameters)

    def reason_to_give_up(self) -> str | None:
        """Why going on is useless: the study's first trials all failed alike."""
        return self._failures.reason_to_give_up(self._books.study.name)

    def time_up_reason(self) -> str:
        """What is recorded for trials that the end of the budget stops."""
        used_up = f"the study's budget of {self._books.spec.budget.seconds:g} s is used up"
        if not self.standing.reserved_seconds:
            return used_up
        reserved = format_figure(self.standing.reserved_seconds, digits=3)
        return f"{used_up}, but for {reserved} s to confirm the winner"

    def beat(self) -> None:
        """A sign of life in the lease, and the seconds spent since the last one."""
        self._books.lease.beat()
        self._books.records.set_seconds(self._books.study, seconds=self.standing.elapsed_seconds)

    def trial_view(self, ticket: Ticket, *, device: str) -> TrialView:
        """The trial as a display shows it."""
        row = ticket.row
        side = self.standing.side_of(row.number)
        return TrialView(row.number, row.parameters, row.is_baseline, ticket.is_adopted, device, side)

    def _is_contended(self) -> bool:
        """Whether others train on this machine as well, which makes throughput incomparable."""
        return self._books.is_contended or bool(self._books.company.others())

    def _new_trial(self, proposal: Proposal, *, lease: Lease | None = None) -> NewTrial:
        """The trial as it is written down at first, to be trained on that lease where one is known already."""
        return NewTrial(
            number=proposal.number,
            parameters=self._speeds.complete(proposal.number, proposal.parameters, lease=lease),
            seed=trial_seed(self._books.spec.seed, proposal.number),
            optuna_id=proposal.optuna_id,
            is_baseline=proposal.number == BASELINE_NUMBER,
        )

    def _behind(self, rows: Iterable[TrialRow]) -> list[TrialRow]:
        """Trials of which Optuna's rows may lack something: with one objective, those that have not ended there."""
        is_all_told = len(self._books.spec.objectives) == 1
        open_ = {running.number for running in self._books.search.running()}
        return [row for row in rows if row.number in open_ or not is_all_told]

    def _learn(self, rows: Mapping[int, TrialRow]) -> None:
        """Learn from trials of earlier starts, by number, of memory and time, and how the first of them ended."""
        self._failures.load(rows.values())
        self._admission.load(rows.values())
        self._reserve.load(self._books.records, rows=rows)

    def _count(self, ending: Ending) -> None:
        """Count the trial in the totals, and delete its checkpoint or that of the best trial before it."""
        former_best = self.standing.best_number
        superseded = former_best if self.standing.count(ending) else ending.number
        for number in (superseded, ending.number):
            if number is not None and not self._keeps_checkpoint(number):
                self._books.files.remove_checkpoint(number)
