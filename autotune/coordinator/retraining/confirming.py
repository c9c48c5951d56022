"""``NAME.confirm``: the winner and the baseline trained again on fresh seeds, one at a time."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autotune.coordinator.retraining.contenders import Contender, Contenders, NotConfirmedError, choose_contenders
from autotune.coordinator.retraining.ledger import Series
from autotune.coordinator.retraining.run import about_seconds, plan_series, retrain
from autotune.coordinator.workplace import Workplace
from autotune.figures import format_figure
from autotune.proof.statistics import LEAST_VALUES
from autotune.recording.confirmed import confirm_name, find_confirmation, read_verdict
from autotune.recording.database import open_database
from autotune.recording.files import is_study_name
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.spec.model import Confirm

TRIAL = "trial"
"""The one parameter of a confirmation's search: the number of the trial that is trained again."""
_MARGIN = 1.1
"""Factor on recorded training times: a repeated training may take longer."""

Mode: TypeAlias = Literal["at the end", "asked for"]
"""At a study's end a sure verdict ends the confirmation; one that was asked for trains as often as was asked."""


@dataclass(frozen=True)
class Confirmation:
    """How a confirmation ended."""

    is_whole: bool
    """Each side was trained as often as was asked for."""


def confirm(
    workplace: Workplace,
    study: StudyRow,
    *,
    wanted: Confirm,
    mode: Mode = "asked for",
    seconds_left: float | None = None,
) -> Confirmation:
    """Train what is missing; what is trained already counts.

    Args:
        workplace: Where.
        study: The study whose winner is confirmed.
        wanted: How often, and against what.
        mode: Whether a sure verdict ends it.
        seconds_left: For all trainings together, which are fewer where it is short; None without a limit.

    Raises:
        NotConfirmedError: There is nothing to confirm, or no time for enough trainings; nothing was trained.
    """
    is_at_the_end = mode == "at the end"
    with ExitStack() as stack:
        records = Records(open_database(workplace.places.storage, create=False))
        stack.callback(records.engine.dispose)
        spec, rows = study.spec, records.trials(study)
        contenders = choose_contenders(rows, confirm=wanted, objective=spec.objectives[0], study=study.name)
        series, repeats = _series(records, study, contenders=contenders, wanted=wanted, seconds_left=seconds_left)
        asked = wanted.model_copy(update={"repeats": repeats})
        if is_at_the_end and _is_over(records, study, series=series, contenders=contenders, asked=asked):
            return Confirmation(is_whole=True)
        most = "at most " if is_at_the_end and repeats > LEAST_VALUES else ""
        workplace.observer.note(f"confirming {contenders.words}: {most}{repeats} trainings each, on fresh seeds")
        ended = retrain(
            workplace,
            records,
            study,
            series=series,
            asked=asked,
            is_decided=lambda: is_at_the_end and _is_decided(records, study, contenders),
        )
        if ended.is_out_of_time:
            workplace.observer.note("no time is left in the budget for the other trainings")
            _be_content(records, study)
        if ended.is_ended_early:
            workplace.observer.note("the verdict is sure: the other trainings are not needed")
    return Confirmation(is_whole=not (ended.is_interrupted or ended.is_out_of_time))


def _is_over(records: Records, study: StudyRow, *, series: Series, contenders: Contenders, asked: Confirm) -> bool:
    """An earlier start of the study has confirmed it already, as it is asked for now."""
    row = find_confirmation(records, study=study)
    if row is None:
        return False
    earlier = row.spec.confirm
    if earlier.model_copy(update={"repeats": asked.repeats}) != asked:
        return False
    is_whole = not series.rounds or _is_decided(records, study, contenders)
    # A training of an earlier winner that was cut off waits until that is one again.
    own = (trial for trial in records.trials(row) if series.has_parameters(trial.parameters))
    return is_whole and all(trial.is_over for trial in own)


def _is_decided(records: Records, study: StudyRow, contenders: Contenders) -> bool:
    """Whether the verdict on each winner is sure by the trainings that there are."""
    verdict = read_verdict(records, study=study)
    known = {each.winner: each for each in (verdict, *verdict.others)} if verdict is not None else {}
    return all(row.number in known and known[row.number].is_decided for row in contenders.winners)


def _be_content(records: Records, study: StudyRow) -> None:
    """Record that no more repeats were asked for than there was time for: the verdict's intervals are final then."""
    verdict, row = read_verdict(records, study=study), find_confirmation(records, study=study)
    if verdict is None or row is None or verdict.num_winner < LEAST_VALUES:
        return
    spec = row.spec
    asked = spec.confirm.model_copy(update={"repeats": verdict.num_winner})
    records.update_spec(
        row,
        spec_text=row.spec_text,
        spec_json=spec.model_copy(update={"confirm": asked}).model_dump_json(),
        resolved_json=row.resolved_json,
    )


def _series(
    records: Records, study: StudyRow, *, contenders: Contenders, wanted: Confirm, seconds_left: float | None
) -> tuple[Series, int]:
    """The trainings that are missing of the repeats that there is time for, and how many repeats those are."""
    name = confirm_name(study.name)
    if not is_study_name(name):
        raise NotConfirmedError(
            f"study {study.name}: its confirmation needs a name, got {name}, which is too long for one"
        )
    trials = [
        Contender(
            number=row.number,
            name="the baseline" if row.is_baseline else f"trial {row.number}",
            parameters=row.parameters,
            is_baseline=row.is_baseline,
            seconds=about_seconds(records, row),
        )
        for row in contenders.all
    ]
    confirmation = find_confirmation(records, study=study)
    trained = records.trials(confirmation) if confirmation is not None else ()
    if confirmation is not None and seconds_left is not None:
        seconds_left -= confirmation.elapsed_seconds
    plans = {
        repeats: plan_series(trials, trained, repeats=repeats)
        for repeats in range(min(wanted.repeats, LEAST_VALUES), wanted.repeats + 1)
    }
    repeats = _affordable(study, plans, contenders=trials, seconds_left=seconds_left)
    series = Series(
        name=name,
        purpose="confirm",
        parameter=TRIAL,
        contenders=trials,
        rounds=plans[repeats],
        num_trained=len(trained),
        used_seeds={row.seed for row in records.trials(study)},
        seconds_left=seconds_left,
    )
    return series, repeats


def _affordable(
    study: StudyRow,
    plans: Mapping[int, Sequence[Sequence[int]]],
    *,
    contenders: Sequence[Contender],
    seconds_left: float | None,
) -> int:
    """The most repeats that there is time for.

    Raises:
        NotConfirmedError: There is no time even for the fewest trainings that tell anything.
    """
    seconds = {each.number: each.seconds for each in contenders}
    costs = {repeats: _MARGIN * sum(seconds[each] for part in plan for each in part) for repeats, plan in plans.items()}
    if seconds_left is None:
        return max(costs)
    least, seconds_left = min(costs), max(0.0, seconds_left)
    if costs[least] > seconds_left:
        raise NotConfirmedError(
            f"study {study.name}: the winner is not confirmed: {_seconds(costs[least])} are needed, and the budget has "
            f"{_seconds(seconds_left)} left; `autotune study confirm {study.name}` does it"
        )
    return max(repeats for repeats, cost in costs.items() if cost <= seconds_left)


def _seconds(seconds: float) -> str:
    """Three digits of it, with the unit."""
    return f"{format_figure(seconds, digits=3)} s"
