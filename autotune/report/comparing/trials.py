"""Trials side by side, of one study or of several: where they differ, and by how much against their noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.recording.ranking import rank_trials
from autotune.report.comparing.noise import Noise, noise_of, throughput_noise
from autotune.report.summaries.record import StudyRecord, read_record
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import name_trials

NOT_THERE = "-"
"""Shown where a trial lacks the parameter."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One trial of a comparison; the fields are the keys of its JSON."""

    name: str
    """The name it was asked for with: ``STUDY`` for the study's best trial, or ``STUDY:NUMBER``."""
    study: str
    trial: TrialSummary
    metrics: Mapping[str, float]
    """Metrics of the last epoch."""
    noise: Mapping[str, Noise | None]
    """Noise by metric, and under ``samples_per_second``; None where nothing tells it."""
    num_trials: int
    """Number of trials of its study."""
    study_seconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several trials side by side; the fields are the keys of its JSON."""

    contenders: tuple[Contender, ...]
    differing: Mapping[str, tuple[Scalar, ...]]
    """Parameters that differ, with the value of each contender; null for a contender that lacks the parameter."""
    shared: Mapping[str, Scalar]
    """Parameters that are the same in all."""
    metrics: tuple[str, ...]
    """Names of the metrics: objectives first, then those that every contender reported."""


def compare(storage: str, *, names: Sequence[str]) -> Comparison:
    """The comparison of two or more trials, each named ``STUDY`` (its best trial) or ``STUDY:NUMBER``.

    Raises:
        InputError: A name is wrong, there is only one, or a study has no complete trial.
        StudyNotFoundError: There is no such study or trial.
    """
    if len(names) < 2:  # noqa: PLR2004 - a comparison has two sides
        raise InputError(
            f"compare: needs two or more studies or trials, got {names[0] if names else 'none'}; "
            "name another, or trials of one study as NAME:3 NAME:7"
        )
    records: dict[str, StudyRecord] = {}
    contenders = tuple(_contender(name, storage=storage, records=records) for name in names)
    parameters = list(dict.fromkeys(name for one in contenders for name in one.trial.parameters))
    values = {name: tuple(one.trial.parameters.get(name) for one in contenders) for name in parameters}
    shared = {name: each[0] for name, each in values.items() if _is_same(name, contenders)}
    return Comparison(
        contenders=contenders,
        differing={name: each for name, each in values.items() if name not in shared},
        shared=shared,
        metrics=_metrics(contenders),
    )


def _contender(name: str, *, storage: str, records: dict[str, StudyRecord]) -> Contender:
    study, colon, number = name.partition(":")
    if colon and not number.isdecimal():
        raise InputError(f"{name}: a trial is named STUDY:NUMBER, got {number!r} for its number; write {study}:0")
    if study not in records:
        records[study] = read_record(storage, name=study)
    record = records[study]
    trial = _named(record.summaries, int(number), name=name) if colon else _best(record)
    row = next(row for row in record.trials if row.number == trial.number)
    epochs = record.reports[trial.number]
    metrics = dict(epochs[-1].metrics) if epochs else {}
    noise = {metric: noise_of(row, metric=metric, record=record) for metric in metrics}
    return Contender(
        name=name,
        study=study,
        trial=trial,
        metrics=metrics,
        noise=noise | {"samples_per_second": throughput_noise(epochs)},
        num_trials=len(record.trials),
        study_seconds=record.study.elapsed_seconds,
    )


def _named(trials: Sequence[TrialSummary], number: int, *, name: str) -> TrialSummary:
    for trial in trials:
        if trial.number == number:
            return trial
    known = name_trials(trial.number for trial in trials)
    raise InputError(f"{name}: the study must have this trial, got {known}; choose one")


def _best(record: StudyRecord) -> TrialSummary:
    ranked = rank_trials(record.summaries, objective=record.spec.objectives[0])
    if not ranked:
        name = record.study.name
        raise InputError(f"{name}: its best trial must be a complete one, got none yet; name a trial as {name}:0")
    return ranked[0]


def _is_same(name: str, contenders: Sequence[Contender]) -> bool:
    first = contenders[0].trial.parameters
    return all(
        name in one.trial.parameters and one.trial.parameters[name] == first.get(name, NOT_THERE) for one in contenders
    )


def _metrics(contenders: Sequence[Contender]) -> tuple[str, ...]:
    objectives = [metric for one in contenders for metric in one.trial.objectives if metric in one.metrics]
    common = [metric for metric in contenders[0].metrics if all(metric in one.metrics for one in contenders)]
    return tuple(dict.fromkeys([*objectives, *common]))
