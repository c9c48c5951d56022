"""Section about where the study's time went, and the winner's."""

from autotune.events import EpochReport
from autotune.report.page.blocks import Bar, Bars, Block, Section, Words
from autotune.report.page.subject import Subject
from autotune.report.page.timeline import Timeline
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import format_duration


def spent_section(subject: Subject) -> Section | None:
    """The section about time; None while nothing ran."""
    study = subject.summary
    if study.elapsed_seconds <= 0:
        return None
    spent = _study_seconds(subject)
    blocks: list[Block] = [_bars(spent, total=sum(spent.values()), heading="of the study")]
    has_parallel = any(trial.is_contended for trial in subject.own_trials)
    text = (
        "Training, waiting and evaluation are added up over all epochs of all trials; a trial's start is what is left "
        "of it, its last, unfinished epoch included. The tuner's own time is what the study took while neither a trial "
        "nor a race ran: start, proposals, records."
    )
    if has_parallel:
        text += " Trials ran side by side: their shares are of the time that trials took together."
    blocks.append(Words(text=text, kind="note"))
    if study.best is not None:
        own = _trial_seconds(study.best, subject.record.reports[study.best.number])
        blocks.append(_bars(own, total=sum(own.values()), heading=f"of the winner, trial {study.best.number}"))
    data = {"study_seconds": spent, "elapsed_seconds": study.elapsed_seconds}
    return Section(key="time", title="Where the time went", blocks=tuple(blocks), data=data)


def _study_seconds(subject: Subject) -> dict[str, float]:
    totals: dict[str, float] = {}
    for trial in subject.own_trials:
        for name, seconds in _trial_seconds(trial, subject.record.reports[trial.number]).items():
            totals[name] = totals.get(name, 0.0) + seconds
    study = subject.summary
    busy = Timeline.of(subject.record).busy_seconds
    in_trials = max(0.0, busy - sum(race.seconds for race in study.races))
    together = sum(totals.values())
    # Where several trials ran at once, their seconds add up to more than the clock's.
    scale = in_trials / together if together > 0 else 0.0
    spent = {name: seconds * scale for name, seconds in totals.items()}
    if study.speed_seconds:
        spent["races of speed parameters"] = study.speed_seconds
    spent["the tuner itself"] = max(0.0, study.elapsed_seconds - in_trials - study.speed_seconds)
    return spent


def _trial_seconds(trial: TrialSummary, reports: tuple[EpochReport, ...]) -> dict[str, float]:
    waited = sum(report.seconds * report.data_wait_share for report in reports)
    trained = sum(report.seconds for report in reports) - waited
    evaluated = sum(report.evaluation_seconds for report in reports)
    rest = max(0.0, (trial.seconds or 0.0) - trained - waited - evaluated)
    return {
        "computing": trained,
        "waiting for data": waited,
        "evaluation": evaluated,
        "starts and ends of trials": rest,
    }


def _bars(spent: dict[str, float], *, total: float, heading: str) -> Bars:
    longest = max(spent.values(), default=0.0) or 1.0
    bars = [
        Bar(label=name, size=seconds / longest, text=f"{format_duration(seconds)} ({seconds / (total or 1.0):.0%})")
        for name, seconds in spent.items()
    ]
    return Bars(bars=tuple(bars), heading=(heading, "time"))
