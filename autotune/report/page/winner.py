"""The winning configuration against the baseline, and what each difference is worth."""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.report.page.blocks import Bar, Bars, Block, Section, Table, Words
from autotune.report.page.subject import Subject
from autotune.report.page.surrogate import LEAST_SKILL, METHOD
from autotune.report.wording import NOTHING, format_gain, format_scalar


def winner_section(subject: Subject) -> Section | None:
    """None while there is no winner, or no baseline to compare it with."""
    study = subject.summary
    best, baseline = study.best, study.baseline
    if best is None or baseline is None or best.number == baseline.number:
        return None
    rows = _differences(baseline.parameters, best.parameters)
    shares = _shares(subject)
    blocks: list[Block] = [
        Table(header=("parameter", "baseline", "winner"), rows=tuple(rows)),
        Words(text=f"The same in both: {_same(baseline.parameters, best.parameters) or 'nothing'}.", kind="note"),
    ]
    if shares is not None:
        blocks += _share_blocks(subject, shares)
    else:
        blocks.append(Words(text="Too few trials tell what each difference is worth.", kind="note"))
    data = {
        "baseline": dict(baseline.parameters),
        "winner": dict(best.parameters),
        "shares": dict(shares.parts) if shares is not None else {},
        "predicted": shares.predicted if shares is not None else None,
        "method": METHOD if shares is not None else None,
    }
    return Section(key="winner", title="What changed, and what it is worth", blocks=tuple(blocks), data=data)


def _differences(baseline: Mapping[str, Scalar], winner: Mapping[str, Scalar]) -> list[tuple[str, ...]]:
    names = dict.fromkeys([*winner, *baseline])
    return [
        (name, _show(baseline, name), _show(winner, name))
        for name in names
        if baseline.get(name, ...) != winner.get(name, ...)
    ]


def _same(baseline: Mapping[str, Scalar], winner: Mapping[str, Scalar]) -> str:
    same = [name for name in winner if name in baseline and baseline[name] == winner[name]]
    return ", ".join(f"{name} {_show(winner, name)}" for name in same)


def _show(parameters: Mapping[str, Scalar], name: str) -> str:
    return format_scalar(parameters[name]) if name in parameters else NOTHING


@dataclass(frozen=True)
class _Shares:
    """Each difference's part of the gain, the most useful first."""

    parts: Mapping[str, float]
    """Scaled so that they add up to the recorded gain, where the forest predicts one of the same sign."""
    predicted: float
    """The forest's own prediction for the whole change."""
    is_scaled: bool


def _shares(subject: Subject) -> _Shares | None:
    surrogate, study = subject.surrogate, subject.summary
    if surrogate is None or surrogate.skill < LEAST_SKILL or study.best is None or study.baseline is None:
        return None
    parts = surrogate.shares(study.baseline.parameters, study.best.parameters)
    predicted = sum(parts.values())
    is_scaled = study.gain is not None and predicted * study.gain.objective > 0
    factor = study.gain.objective / predicted if is_scaled and study.gain is not None else 1.0
    sign = 1.0 if subject.is_maximized else -1.0
    ordered = sorted(parts.items(), key=lambda item: -sign * item[1])
    return _Shares({name: value * factor for name, value in ordered}, predicted, is_scaled)


def _share_blocks(subject: Subject, shares: _Shares) -> list[Block]:
    surrogate = subject.surrogate
    assert surrogate is not None
    sign = 1.0 if subject.is_maximized else -1.0
    parts = shares.parts
    longest = max(map(abs, parts.values()), default=0.0) or 1.0
    total = sum(parts.values())
    are_shares = total != 0 and all(value * total >= 0 for value in parts.values())
    whole = total if are_shares else None
    bars = tuple(
        Bar(label=name, size=sign * value / longest, text=_worth(value, whole)) for name, value in parts.items()
    )
    scaled = (
        "; its parts are scaled to the recorded gain" if shares.is_scaled else ", which the record does not bear out"
    )
    note = (
        f"{METHOD} From baseline to winner it predicts {format_gain(shares.predicted)}{scaled}. A parameter's share is "
        "its mean part over the orders in which the differences can be made (Shapley values). The forest explains "
        f"{max(0.0, surrogate.skill):.0%} of the variance of trials that it has not seen: estimates, not measurements."
    )
    heading = ("parameter", f"part of the gain in {subject.objective.metric}")
    return [Bars(bars=bars, heading=heading), Words(text=note, kind="note")]


def _worth(value: float, total: float | None) -> str:
    """With its share of the whole, where all have the same sign and shares say something."""
    return format_gain(value) if total is None else f"{format_gain(value)} ({value / total:.0%})"
