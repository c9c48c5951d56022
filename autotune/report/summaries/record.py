"""Everything that is recorded of one study, row by row, for reports that need more than summaries."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import EpochReport, Outcome
from autotune.proof.ablation import Ablation
from autotune.proof.verdict import Verdict
from autotune.recording import ablated, confirmed
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.races import RaceRecords, RaceRow
from autotune.recording.records import Records
from autotune.recording.rows import Environment, ReportRow, StudyRow, TrialRow
from autotune.report.summaries.reading import open_records
from autotune.report.summaries.studies import StudySummary, summarise_study, summarise_trials
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.model import StudySpec


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One training on a fresh seed."""

    trial: TrialRow
    reports: tuple[EpochReport, ...]


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """One study's rows, as they were at one moment."""

    study: StudyRow
    trials: tuple[TrialRow, ...]
    """All trials by number."""
    reports: Mapping[int, tuple[EpochReport, ...]]
    """Reports by trial number, in the order of epochs; empty where a trial reported nothing."""
    summaries: tuple[TrialSummary, ...]
    """Summaries of the same trials, in the same order."""
    races: tuple[RaceRow, ...]
    """The study's races, the newest first."""
    other_races: tuple[RaceRow, ...]
    """Races outside of the study whose results its trials may have taken over, the newest first."""
    repeats: tuple[Repeat, ...]
    """Trainings of its confirmation that have ended."""
    verdict: Verdict | None
    """What trainings on fresh seeds say of the winner; None while it was not confirmed."""
    ablation: Ablation | None
    """What its changes are worth, one by one; None while none was measured."""
    environments: Mapping[int, Environment]
    """Environments by the id that trials refer to."""

    @property
    def spec(self) -> StudySpec:
        """The study's spec."""
        return self.study.spec

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives' metrics."""
        return tuple(objective.metric for objective in self.spec.objectives)

    @property
    def summary(self) -> StudySummary:
        """The study's summary, as ``study show`` prints it."""
        others = self.other_races
        return summarise_study(self.study, trials=self.summaries, races=self.races, other_races=others)


def read_record(storage: str, *, name: str) -> StudyRecord:
    """The study as it is recorded now.

    Raises:
        StorageError: The storage can't be read.
        StudyNotFoundError: It has no study of this name.
    """
    records = open_records(storage)
    study = records.study(name)
    trials = records.trials(study)
    rows = records.all_reports(study)
    return StudyRecord(
        study=study,
        trials=trials,
        reports=_by_trial(trials, rows),
        summaries=summarise_trials(study, trials=trials, reports=rows),
        races=RaceRecords(records.engine).of_study(study),
        other_races=RaceRecords(records.engine).of_others(study),
        repeats=_repeats(records, study),
        verdict=confirmed.read_verdict(records, study=study),
        ablation=ablated.read_ablation(records, study=study),
        environments=EnvironmentRecords(records.engine).all(),
    )


def _repeats(records: Records, study: StudyRow) -> tuple[Repeat, ...]:
    confirmation = confirmed.find_confirmation(records, study=study)
    if confirmation is None:
        return ()
    trials = records.trials(confirmation)
    reports = _by_trial(trials, records.all_reports(confirmation))
    return tuple(
        Repeat(trial=trial, reports=reports[trial.number]) for trial in trials if trial.outcome is Outcome.COMPLETE
    )


def _by_trial(trials: Sequence[TrialRow], rows: Sequence[ReportRow]) -> Mapping[int, tuple[EpochReport, ...]]:
    reports: defaultdict[int, list[EpochReport]] = defaultdict(list)
    for row in rows:
        reports[row.number].append(row.report)
    return {trial.number: tuple(reports[trial.number]) for trial in trials}
