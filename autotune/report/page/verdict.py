"""The first section: what came out, in a sentence, and whether it is proved."""

from collections.abc import Iterator

from autotune.disk import format_bytes
from autotune.figures import format_figure
from autotune.proof.verdict import Verdict
from autotune.recording.rows import StudyState
from autotune.report.comparing.noise import Noise, noise_of
from autotune.report.page.blocks import Block, Code, Facts, Section, Table, Words
from autotune.report.page.subject import Subject
from autotune.report.text.ending import baseline_words, is_worth_confirming
from autotune.report.text.places import storage_option, tracking_option
from autotune.report.text.verdicts import quantity_line, sentence, verdict_lines, verdict_notes
from autotune.report.text.wording import (
    CONTENDED_NOTE,
    format_clock,
    format_duration,
    format_gain,
    format_metric,
    format_rate,
)

_SOME = 1e-9
"""Smallest noise that is believed: a curve that happens to be a straight line tells nothing about its noise."""


def verdict_section(subject: Subject) -> Section:
    """The winner against the baseline in large figures, with what speaks against taking them at their word."""
    study, places = subject.summary, subject.places
    verdict = subject.record.verdict
    blocks: list[Block] = [Words(text=_sentence(subject), kind="lead")]
    if verdict is not None:
        blocks = list(_proved(verdict))
    elif is_worth_confirming(study):
        blocks.append(Words(text=_unproved(subject)))
        command = f"autotune study confirm {study.name}{storage_option(places)}{tracking_option(places)}"
        blocks.append(Code(lines=(command,)))
    if len(study.objectives) > 1 and study.best is not None:
        blocks.append(Words(text=_choice(subject)))
    blocks.append(Facts(pairs=tuple(_figures(subject)), is_large=True))
    if any(trial is not None and trial.is_contended for trial in (study.best, study.baseline)):
        blocks.append(Words(text=CONTENDED_NOTE, kind="note"))
    data = {
        "sentence": sentence(verdict) if verdict is not None else _sentence(subject),
        "is_confirmed": verdict is not None,
        "verdict": verdict,
        "best": study.best,
        "baseline": study.baseline,
        "gain": study.gain,
        "noise": _noise(subject),
    }
    return Section(key="verdict", title="Verdict", blocks=tuple(blocks), data=data)


def _sentence(subject: Subject) -> str:
    study, metric = subject.summary, subject.objective.metric
    if study.best is None:
        yet = " yet" if study.state == StudyState.OPEN else ""
        why = f" ({_outcomes(subject)})" if study.outcomes else ""
        return f"No trial is complete{yet}{why}, so there is nothing to recommend."
    value = format_metric(study.best.objectives[metric])
    if study.baseline is None or study.gain is None:
        return f"Trial {study.best.number} is the best so far, with {metric} {value}; {baseline_words(study)}."
    if study.best.number == study.baseline.number:
        if len(subject.own_trials) == 1:
            return f"Only the baseline was trained: its {metric} is {value}, and there is nothing to compare it with."
        return f"Keep the baseline: of {len(subject.own_trials)} trials none was better than its {metric} {value}."
    against = format_metric(study.baseline.objectives[metric])
    sentence = f"Trial {study.best.number} has {metric} {value}, the baseline {against}"
    if not study.gain.is_better:
        return f"{sentence}: no better than the baseline."
    speed = study.gain.throughput_ratio
    pace = f", at {speed:.2f} times its throughput" if speed is not None else ""
    return f"{sentence}: {format_gain(study.gain.objective)}{pace}."


def _choice(subject: Subject) -> str:
    """Which of several objectives decided, and which other trials there are to choose from."""
    first, *others = (objective.metric for objective in subject.summary.objectives)
    numbers = [str(trial.number) for trial in subject.summary.front]
    told = f"This is by the first objective, {first}. With {' and '.join(others)} as well, "
    if len(numbers) == 1:
        return f"{told}trial {numbers[0]} beats every other in the search."
    return f"{told}trials {', '.join(numbers)} are the search's Pareto front: choose among them."


def _proved(verdict: Verdict) -> Iterator[Block]:
    """What to do, and what trainings on fresh seeds say of each quantity."""
    words = sentence(verdict)
    yield Words(text=f"{words[:1].upper()}{words[1:]}.", kind="lead")
    told = [quantity_line(quantity, verdict) for quantity in verdict.quantities]
    rows = [_split(line) for line in told]
    if rows:
        header = ("on fresh seeds", "winner against reference", "finding")
        yield Table(header=header, rows=tuple(rows), is_long=True)
    yield Facts(pairs=tuple((title, told, "") for title, told in verdict_notes(verdict)))
    for other in verdict.others:
        yield Words(text=" ".join(f"{line.strip()}." for line in verdict_lines(other)), kind="note")


def _split(line: str) -> tuple[str, str, str]:
    name, _, rest = line.partition(": ")
    effect, _, finding = rest.rpartition(": ")
    return name, effect, finding


def _unproved(subject: Subject) -> str:
    noise = _noise(subject)
    text = "Not confirmed yet: the best of many noisy trainings is flattered by luck."
    if noise is not None and noise.deviation > _SOME:
        source = (
            "between trainings that differ in their seed alone" if noise.source == "seeds" else "among its last epochs"
        )
        text += f" Its value moves by about ±{format_figure(noise.deviation, digits=2)} {source}."
    return f"{text} This trains winner and baseline again on fresh seeds, and says what is left of the gain:"


def _outcomes(subject: Subject) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in subject.summary.outcomes.items())


def _noise(subject: Subject) -> Noise | None:
    best = subject.summary.best
    if best is None:
        return None
    row = next(row for row in subject.record.trials if row.number == best.number)
    return noise_of(row, metric=subject.curve_metric, record=subject.record)


def _figures(subject: Subject) -> list[tuple[str, str, str]]:
    study, metric = subject.summary, subject.objective.metric
    figures: list[tuple[str, str, str]] = []
    best, baseline = study.best, study.baseline
    where = f"{metric} in the search" if subject.record.verdict is not None else metric
    is_kept = best is not None and baseline is not None and best.number == baseline.number
    for trial, title in ((None if is_kept else best, "winner"), (baseline, "baseline")):
        if trial is None or metric not in trial.objectives:
            continue
        rate = format_rate(trial.samples_per_second, is_contended=trial.is_contended)
        about = f"trial {trial.number} · {rate} samples/s · {format_duration(trial.epoch_seconds)} an epoch"
        if trial.peak_memory_bytes:
            about += f" · {format_bytes(trial.peak_memory_bytes)}"
        figures.append((f"{where}, {title}", format_metric(trial.objectives.get(metric)), about))
    outcomes = _outcomes(subject)
    num_taken = len(subject.record.trials) - len(subject.own_trials)
    if num_taken:
        outcomes += f"; {num_taken} more were taken over from other studies"
    figures.append(("trials", str(len(subject.own_trials)), outcomes))
    races = f"{format_clock(study.speed_seconds)} of it for races" if study.speed_seconds else ""
    figures.append(("time", format_clock(study.elapsed_seconds), races))
    return figures
