"""Trials that gave no value, grouped by reason, each with what can be done."""

import re
from collections import defaultdict
from dataclasses import dataclass

from autotune.events import Outcome
from autotune.recording.rows import TrialRow
from autotune.report.page.blocks import Block, Section, Table, Words
from autotune.report.page.subject import Subject
from autotune.report.text.wording import format_scalar, one_line

_FAILED = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.INFEASIBLE, Outcome.DIVERGED, Outcome.INTERRUPTED)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")
_MOST_NUMBERS = 8


@dataclass(frozen=True)
class _Group:
    outcome: Outcome
    trials: tuple[TrialRow, ...]

    @property
    def reason(self) -> str:
        """The reason, as the first of these trials gave it."""
        return one_line(self.trials[0].reason or "no reason was given")


def failures_section(subject: Subject) -> Section | None:
    """The section about failed trials; None where every trial was complete or pruned."""
    groups = _groups(subject)
    if not groups:
        return None
    rows = tuple(
        (str(len(group.trials)), group.outcome.value, group.reason[:300], _numbers(group), _advice(group, subject))
        for group in groups
    )
    blocks: tuple[Block, ...] = (
        Table(header=("count", "outcome", "reason", "trials", "what to do"), rows=rows, is_long=True),
        Words(text="Reasons that differ in numbers alone count as one; the first trial's stands here.", kind="note"),
    )
    data = {
        "groups": [
            {
                "outcome": group.outcome.value,
                "reason": group.reason,
                "trials": [trial.number for trial in group.trials],
                "advice": _advice(group, subject),
            }
            for group in groups
        ]
    }
    return Section(key="failures", title="What went wrong", blocks=blocks, data=data)


def _groups(subject: Subject) -> list[_Group]:
    found: defaultdict[tuple[Outcome, str], list[TrialRow]] = defaultdict(list)
    for trial in subject.record.trials:
        if trial.outcome in _FAILED and trial.origin is None:
            found[trial.outcome, _NUMBER.sub("#", trial.reason or "")].append(trial)
    groups = [_Group(outcome, tuple(trials)) for (outcome, _), trials in found.items()]
    return sorted(groups, key=lambda group: (_FAILED.index(group.outcome), -len(group.trials)))


def _numbers(group: _Group) -> str:
    numbers = [str(trial.number) for trial in group.trials]
    more = len(numbers) - _MOST_NUMBERS
    return ", ".join(numbers[:_MOST_NUMBERS]) + (f" and {more} more" if more > 0 else "")


def _advice(group: _Group, subject: Subject) -> str:
    name = subject.summary.name
    if any(trial.is_out_of_memory for trial in group.trials):
        return "Allow smaller batches or models, or set accumulate: auto, which cuts a batch where memory runs out."
    match group.outcome:
        case Outcome.FAILED:
            return _advice_failed(group, study=name)
        case Outcome.TIMED_OUT:
            return "It gave no sign for too long: look at its trial.log for what it waited for, or allow more time."
        case Outcome.INFEASIBLE:
            return "Leave such combinations out of the space, by choices or a when."
        case Outcome.DIVERGED:
            return _advice_diverged(group)
        case _:
            return f"Its process was killed; 'autotune study resume {name}' goes on with it."


def _advice_failed(group: _Group, *, study: str) -> str:
    first = group.trials[0]
    if first.traceback is None:
        return f"No error of the task's code: 'autotune study logs {study} {first.number}' shows what it wrote last."
    return f"The task's code raised: 'autotune trial replay {study} {first.number}' trains it again, to look closer."


def _advice_diverged(group: _Group) -> str:
    rates = [trial.parameters["lr"] for trial in group.trials if isinstance(trial.parameters.get("lr"), int | float)]
    numbers = [float(rate) for rate in rates if rate is not None]
    if not numbers:
        return "The loss was no number any more: search smaller learning rates, or add gradient_clip."
    lowest = format_scalar(min(numbers))
    return f"The loss was no number any more, from lr {lowest} on: lower learning.lr.high, or add gradient_clip."
