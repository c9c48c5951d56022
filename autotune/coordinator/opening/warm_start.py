"""Finished trials of another study, taken over for the sampler to learn from."""

from autotune.coordinator.books import Books
from autotune.coordinator.histories import read_histories
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import Observer
from autotune.events import Finished
from autotune.recording.drafts import NewTrial
from autotune.recording.rows import TrialStatus


def warm_start(books: Books, *, source: str, ledger: Ledger, observer: Observer) -> None:
    """Take over the trials of the study ``source`` that fit this study's space.

    Called after the baseline was asked as trial 0 and before it is trained; a study that has begun to train takes
    nothing over. The trials don't count against this study's budget, and none of them is its best: another study
    measured them. If this is cut off, the next start goes on with it.
    """
    own = [row for row in books.records.trials(books.study) if row.origin is None]
    if any(row.status is not TrialStatus.QUEUED for row in own):
        return
    if not own:
        ledger.ask()
    records = books.records
    old = records.study(source)
    ended = {row.number: row for row in records.trials(old) if row.is_over}
    histories = read_histories(records, old, rows=ended.values(), spec=books.spec)
    values = {history.number: history.values for history in histories}
    taken = books.search.import_trials(histories, source=source)
    for number, old_number in taken.items():
        row = ended[old_number]
        new = NewTrial(
            number=number,
            parameters=row.parameters,
            seed=row.seed,
            origin=f"{source}/{old_number}",
            is_contended=row.is_contended,
        )
        assert row.outcome is not None, "an ended trial has an outcome"
        finished = Finished(
            outcome=row.outcome,
            reason=row.reason,
            samples_per_second=row.samples_per_second,
            is_out_of_memory=row.is_out_of_memory,
        )
        records.take_over_trial(
            books.study,
            new=new,
            finished=finished,
            values=values[old_number],
            reports=[recorded.report for recorded in records.reports(row)],
            ended_at=row.ended_at,
        )
    left = "; the others do not fit this space" if len(taken) < len(ended) else ""
    observer.note(f"took over {len(taken)} of {len(ended)} ended trials of study {source}{left}")
