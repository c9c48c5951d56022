"""Configurations of a search trained again on fresh seeds, one at a time, in a study of their own.

A confirmation and an ablation are both that. What is missing is planned in rounds from what was
trained, so that the same order goes on after any interruption.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from autotune.coordinator.delivering import deliver_last
from autotune.coordinator.reserve import training_seconds
from autotune.coordinator.retraining.books import open_series
from autotune.coordinator.retraining.contenders import Contender
from autotune.coordinator.retraining.ledger import RetrainLedger, Series
from autotune.coordinator.standing import standing_of
from autotune.coordinator.workplace import Workplace
from autotune.events import Scalar
from autotune.proof.rounds import plan_rounds
from autotune.recording.database import hide_password
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState, TrialRow
from autotune.spec.model import Confirm
from autotune.trial.leases import make_pool

_SOON_SECONDS = 600.0
"""A round that was cut off is completed where its last training ended less than this long ago, or less than a training
takes, if that is longer; else a new one is begun."""


@dataclass(frozen=True)
class Retrained:
    """How the trainings of a series ended."""

    is_interrupted: bool
    is_out_of_time: bool
    """Some are missing, for which there was no time."""
    is_ended_early: bool
    """Some are missing, which were not needed."""


def retrain(
    workplace: Workplace,
    records: Records,
    study: StudyRow,
    *,
    series: Series,
    asked: Confirm,
    is_decided: Callable[[], bool] = lambda: False,
) -> Retrained:
    """Train what is missing of the series; Ctrl-C stops with checkpoints.

    Args:
        workplace: Where they are trained.
        records: Those of the workplace's storage.
        study: The study whose trials are trained again.
        series: What is to be trained.
        asked: The wanted repeats, which are recorded with the trainings.
        is_decided: Asked after each round; the others are not trained any more once it says so.
    """
    with ExitStack() as stack:
        books = open_series(workplace, records, study=study, asked=asked, series=series, stack=stack)
        rows = records.trials(books.study)
        standing = standing_of(books.study, spec=books.spec, rows=rows, storage=hide_password(workplace.places.storage))
        numbers = {each.number: each.name for each in series.contenders}
        sides = zip(rows, _numbers(rows, series.contenders), strict=True)
        standing.set_sides(
            numbers.values(), trials={row.number: numbers[number] for row, number in sides if number in numbers}
        )
        ledger = RetrainLedger(
            books,
            standing=standing,
            series=series,
            is_decided=is_decided,
            on_beat=workplace.on_beat,
        )
        pool = make_pool(books.spec.device, facts=workplace.launcher.facts, jobs=1)
        is_over = workplace.open_session(books, ledger=ledger, pool=pool).run()
        if is_over and not ledger.is_out_of_time:
            records.set_state(books.study, state=StudyState.COMPLETE)
        deliver_last(
            books.publisher,
            interrupts=workplace.interrupts,
            note=workplace.observer.note,
            remedy=f"`autotune study sync {series.name}` delivers them",
        )
    return Retrained(not is_over, is_over and ledger.is_out_of_time, ledger.is_ended_early)


def about_seconds(records: Records, row: TrialRow) -> float:
    """About how long a training of the trial takes, its start included, as its first one took."""
    reports = [recorded.report for recorded in records.reports(row)]
    return (training_seconds(reports) if reports else 0.0) + (row.setup_seconds or 0.0)


def plan_series(contenders: Sequence[Contender], trained: Sequence[TrialRow], *, repeats: int) -> list[list[int]]:
    """The rounds that are missing until each contender had its repeats, by their numbers; what failed counts."""
    reference, *others = (each.number for each in contenders)
    last = trained[-1] if trained else None
    soon = max(_SOON_SECONDS, *(each.seconds for each in contenders))
    is_open = last is not None and (last.ended_at is None or time.time() - last.ended_at < soon)
    order = _numbers(trained, contenders)
    return plan_rounds(order, reference=reference, winners=others, repeats=repeats, is_open=is_open)


def _numbers(trained: Sequence[TrialRow], contenders: Sequence[Contender]) -> list[int]:
    """The contenders' numbers of what was trained; an earlier winner, which is none now, has one below 0."""
    others: list[Mapping[str, Scalar]] = []
    numbers = []
    for row in trained:
        number = next((each.number for each in contenders if each.parameters == row.parameters), None)
        if number is None:
            if row.parameters not in others:
                others.append(row.parameters)
            number = -1 - others.index(row.parameters)
        numbers.append(number)
    return numbers
