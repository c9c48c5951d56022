"""The winning configuration against the baseline, and what each difference is worth."""

from collections.abc import Mapping

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
    if shares:
        blocks += _share_blocks(subject, shares)
    else:
        blocks.append(Words(text="Too few trials tell what each difference is worth.", kind="note"))
    data = {
        "baseline": dict(baseline.parameters),
        "winner": dict(best.parameters),
        "shares": shares,
        "method": METHOD if shares else None,
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


def _shares(subject: Subject) -> dict[str, float]:
    surrogate, study = subject.surrogate, subject.summary
    if surrogate is None or surrogate.skill < LEAST_SKILL or study.best is None or study.baseline is None:
        return {}
    shares = surrogate.shares(study.baseline.parameters, study.best.parameters)
    sign = 1.0 if subject.is_maximized else -1.0
    return dict(sorted(shares.items(), key=lambda item: -sign * item[1]))


def _share_blocks(subject: Subject, shares: dict[str, float]) -> list[Block]:
    surrogate, gain = subject.surrogate, subject.summary.gain
    assert surrogate is not None
    sign = 1.0 if subject.is_maximized else -1.0
    longest = max(map(abs, shares.values())) or 1.0
    total = sum(shares.values())
    are_shares = total != 0 and all(value * total >= 0 for value in shares.values())
    whole = total if are_shares else None
    bars = tuple(
        Bar(label=name, size=sign * value / longest, text=_worth(value, whole)) for name, value in shares.items()
    )
    recorded = f", {format_gain(gain.objective)} was recorded" if gain is not None else ""
    note = (
        f"{METHOD} From baseline to winner it predicts {format_gain(total)}{recorded}. A parameter's share is its mean "
        "part of that over the orders in which the differences can be made (Shapley values). The forest explains "
        f"{max(0.0, surrogate.skill):.0%} of the variance of trials that it has not seen: estimates, not measurements."
    )
    heading = ("parameter", f"part of the gain in {subject.objective.metric}")
    return [Bars(bars=bars, heading=heading), Words(text=note, kind="note")]


def _worth(value: float, total: float | None) -> str:
    """With its share of the whole, where all have the same sign and shares say something."""
    return format_gain(value) if total is None else f"{format_gain(value)} ({value / total:.0%})"
