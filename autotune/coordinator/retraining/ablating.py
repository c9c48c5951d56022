"""``NAME.ablation``: the winner trained with each of its changes set back, beside itself and the baseline."""

from contextlib import ExitStack
from dataclasses import dataclass

from autotune.coordinator.observer import Observer
from autotune.coordinator.retraining.contenders import Contender
from autotune.coordinator.retraining.ledger import Series
from autotune.coordinator.retraining.reopening import Reopened, Reopening, reopen
from autotune.coordinator.retraining.run import about_seconds, plan_series, retrain
from autotune.coordinator.workplace import Workplace
from autotune.errors import RunError
from autotune.recording.ablated import ablation_name, changes_of, find_ablation, sides_of
from autotune.recording.confirmed import key_of
from autotune.recording.database import open_database
from autotune.recording.files import is_study_name
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from autotune.spec.model import Confirm, StudySpec

CHANGE = "change"
"""The one parameter of an ablation's search: 0 is the baseline, 1 the winner; each other number sets a change back."""


@dataclass(frozen=True, kw_only=True)
class AblateOrder(Reopening):
    """What the user asked for."""

    repeats: int


def ablate_study(order: AblateOrder, *, observer: Observer) -> Reopened[bool]:
    """Train what is missing of the ablation; the result is false where that was interrupted: the same order goes on.

    Raises:
        StudyNotFoundError: There is no such study.
        RunError: There is no winner to be compared with the baseline.
        StudyHeldError: Another coordinator runs the study, or its ablation.
    """

    def prepare(records: Records, study: StudyRow) -> tuple[TrialRow, TrialRow]:
        spec = study.spec
        winner, baseline = sides_of(records.trials(study), spec=spec)
        where = f"study {study.name}"
        if winner is None or baseline is None:
            rule = "an ablation needs a complete baseline and a winner that differs from it"
            got = "no complete baseline" if baseline is None else "no such winner"
            raise RunError(f"{where}: {rule}, got {got}; let the study run on")
        if not is_study_name(ablation_name(study.name)):
            name = ablation_name(study.name)
            raise RunError(f"{where}: its ablation needs a name, got {name}, which is too long for one")
        return winner, baseline

    def train(workplace: Workplace, study: StudyRow, sides: tuple[TrialRow, TrialRow]) -> bool:
        return ablate(workplace, study, winner=sides[0], baseline=sides[1], repeats=order.repeats)

    return reopen(order, observer=observer, prepare=prepare, train=train)


def ablate(workplace: Workplace, study: StudyRow, *, winner: TrialRow, baseline: TrialRow, repeats: int) -> bool:
    """Train what is missing until each was trained ``repeats`` times; false after an interrupt."""
    with ExitStack() as stack:
        records = Records(open_database(workplace.places.storage, create=False))
        stack.callback(records.engine.dispose)
        spec = study.spec
        contenders = _contenders(records, winner, baseline, spec=spec)
        ablation = find_ablation(records, study=study)
        trained = records.trials(ablation) if ablation is not None else ()
        rounds = plan_series(contenders, trained, repeats=repeats)
        seconds = {each.number: each.seconds for each in contenders}
        num_missing = sum(len(part) for part in rounds)
        about = sum(seconds[number] for part in rounds for number in part)
        each = "1 training" if repeats == 1 else f"{repeats} trainings"
        workplace.observer.note(
            f"ablation of trial {winner.number}: {len(contenders)} configurations, {each} each, "
            f"{num_missing} to come, about {about:.0f} s"
        )
        series = Series(
            name=ablation_name(study.name),
            purpose="ablation",
            parameter=CHANGE,
            contenders=contenders,
            rounds=rounds,
            num_trained=len(trained),
            used_seeds={row.seed for row in records.trials(study)},
        )
        return not retrain(workplace, records, study, series=series, asked=Confirm(repeats=repeats)).is_interrupted


def _contenders(records: Records, winner: TrialRow, baseline: TrialRow, *, spec: StudySpec) -> list[Contender]:
    """The baseline, the winner, and the winner without each of its changes."""
    seconds = about_seconds(records, winner)
    contenders = [
        Contender(
            number=0,
            name="the baseline",
            parameters=baseline.parameters,
            is_baseline=True,
            seconds=about_seconds(records, baseline),
        ),
        Contender(
            number=1,
            name=f"trial {winner.number}",
            parameters=winner.parameters,
            is_baseline=False,
            seconds=seconds,
        ),
    ]
    for change in changes_of(winner.parameters, baseline.parameters, spec=spec):
        # The only change set back is the baseline.
        if key_of(change.parameters) != key_of(baseline.parameters):
            contenders.append(
                Contender(
                    number=len(contenders),
                    name=f"without {', '.join(change.names)}",
                    parameters=change.parameters,
                    is_baseline=False,
                    seconds=seconds,
                )
            )
    return contenders
