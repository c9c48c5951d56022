"""The winning configuration against the baseline, and what each difference is worth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.proof.ablation import Ablation, Part
from autotune.report.page.blocks import Bar, Bars, Block, Code, Section, Table, Words
from autotune.report.page.subject import Subject
from autotune.report.page.surrogate import LEAST_SKILL, METHOD
from autotune.report.text.places import storage_option
from autotune.report.text.wording import NOTHING, format_gain, format_metric, format_scalar


def winner_section(subject: Subject) -> Section | None:
    """The section about the winner; None while there is none, or no baseline to compare it with."""
    study = subject.summary
    best, baseline = study.best, study.baseline
    if best is None or baseline is None or best.number == baseline.number:
        return None
    shares, ablation = _shares(subject), subject.record.ablation
    if ablation is not None and ablation.winner != best.number:
        ablation = None
    blocks: list[Block] = [
        _differences(baseline.parameters, best.parameters, shares=shares, ablation=ablation),
        Words(text=f"The same in both: {_same(baseline.parameters, best.parameters) or 'nothing'}.", kind="note"),
    ]
    if ablation is not None:
        blocks += _ablation_blocks(subject, ablation)
    if shares is not None:
        blocks += _share_blocks(subject, shares)
    elif ablation is None:
        blocks.append(Words(text="Too few trials tell what each difference is worth.", kind="note"))
    if ablation is None:
        blocks.append(Words(text="This trains the winner without each change, and measures what they are worth:"))
        command = f"autotune study report {study.name} --ablate{storage_option(subject.places)}"
        blocks.append(Code(lines=(command,)))
    data = {
        "baseline": dict(baseline.parameters),
        "winner": dict(best.parameters),
        "shares": dict(shares.parts) if shares is not None else {},
        "predicted": shares.predicted if shares is not None else None,
        "method": METHOD if shares is not None else None,
        "ablation": ablation,
    }
    return Section(key="winner", title="What changed, and what it is worth", blocks=tuple(blocks), data=data)


def _differences(
    baseline: Mapping[str, Scalar],
    winner: Mapping[str, Scalar],
    *,
    shares: "_Shares | None",
    ablation: Ablation | None,
) -> Table:
    """A row for each parameter that differs, with its worth as measured and as estimated, where these exist."""
    header = ["parameter", "baseline", "winner"]
    header += ["measured worth"] if ablation is not None else []
    header += ["estimated worth"] if shares is not None else []
    rows = []
    for name in dict.fromkeys([*winner, *baseline]):
        if baseline.get(name, ...) == winner.get(name, ...):
            continue
        row = [name, _show(baseline, name), _show(winner, name)]
        if ablation is not None:
            row.append(_measured(name, ablation))
        if shares is not None:
            row.append(format_gain(shares.parts[name]) if name in shares.parts else NOTHING)
        rows.append(tuple(row))
    return Table(header=tuple(header), rows=tuple(rows))


def _measured(name: str, ablation: Ablation) -> str:
    part = ablation.part_of(name)
    if part is None:
        return NOTHING
    if name != part.names[0]:
        return f"with {part.names[0]}"
    return _worth_of(part)


def _worth_of(part: Part) -> str:
    """A change's worth in words, such as ``+0.02 [+0.011, +0.029], 64%``."""
    if part.gain is None:
        return f"{part.num_failed} of {part.num_trainings} trainings without it gave no value"
    is_bounded = math.isfinite(part.low) and math.isfinite(part.high)
    interval = f" [{format_gain(part.low)}, {format_gain(part.high)}]" if is_bounded else ""
    share = f", {part.share:.0%}" if part.share is not None else ""
    return f"{format_gain(part.gain)}{interval}{share}{'' if part.is_sure else ', not sure'}"


def _ablation_blocks(subject: Subject, ablation: Ablation) -> list[Block]:
    sign = 1.0 if subject.is_maximized else -1.0
    whole = ablation.whole
    longest = max((abs(part.gain) for part in ablation.parts if part.gain is not None), default=0.0) or 1.0
    bars = tuple(
        Bar(
            label=", ".join(part.names),
            size=sign * part.gain / longest,
            text=_worth(part.gain, whole.gain if part.share is not None else None),
        )
        for part in ablation.parts
        if part.gain is not None
    )
    note = (
        f"Measured: the winner trained {ablation.num_trainings} times on fresh seeds, and as often with each change "
        f"set back to the baseline's, in turn. Its {ablation.metric} was {format_metric(ablation.value)}, without all "
        f"changes {format_metric(whole.without)}: {_worth_of(whole)}. A change's worth is what is lost without it "
        "alone: the parts need not add up to the whole, where changes help or hinder each other. Intervals are "
        f"simultaneous (Bonferroni's correction of Welch's): with {ablation.confidence:.0%} those of all changes hold "
        "together, so that of many changes that do nothing none is sure by luck."
    )
    harmful = [part for part in ablation.parts if part.is_sure and sign * (part.gain or 0.0) < 0]
    if harmful:
        told = "; ".join(", ".join(part.names) for part in harmful)
        note += f" Surely better with the baseline's value: {told}."
    note += _missing(ablation)
    return [Bars(bars=bars, heading=("change", f"measured worth in {ablation.metric}")), Words(text=note, kind="note")]


def _missing(ablation: Ablation) -> str:
    """A remark on trainings that gave no value; empty where there are none."""
    whole = ablation.whole
    sides = [(ablation.num_failed, ablation.num_trainings, "of the winner")]
    sides += [
        (part.num_failed, part.num_trainings, f"without {', '.join(part.names)}")
        for part in ablation.parts
        if part.gain is not None
    ]
    sides.append((whole.num_failed, whole.num_trainings, "of the baseline"))
    told = ", ".join(f"{missing} of {count} {what}" for missing, count, what in sides if missing)
    if not told:
        return ""
    return (
        f" Trainings that gave no value: {told}. They are in no mean, which is too good then: what it says against "
        "the other side is not called sure, and no share is told of it."
    )


def _same(baseline: Mapping[str, Scalar], winner: Mapping[str, Scalar]) -> str:
    same = [name for name in winner if name in baseline and baseline[name] == winner[name]]
    return ", ".join(f"{name} {_show(winner, name)}" for name in same)


def _show(parameters: Mapping[str, Scalar], name: str) -> str:
    return format_scalar(parameters[name]) if name in parameters else NOTHING


@dataclass(frozen=True)
class _Shares:
    """Each difference's estimated part of the gain, the most useful first."""

    parts: Mapping[str, float]
    """Parts by parameter; scaled to add up to the recorded gain, if the forest predicts one of the same sign."""
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
        f"Estimated, not measured: {METHOD[:1].lower()}{METHOD[1:]} From baseline to winner it predicts "
        f"{format_gain(shares.predicted)}{scaled}. A parameter's share is its mean part over the orders in which the "
        "differences can be made (Shapley values). The forest explains "
        f"{max(0.0, surrogate.skill):.0%} of the variance of trials that it has not seen. These parts have no "
        "interval: a sampler chose the trials, so that they are no random sample; an ablation's have one."
    )
    heading = ("parameter", f"estimated part of the gain in {subject.objective.metric}")
    return [Bars(bars=bars, heading=heading), Words(text=note, kind="note")]


def _worth(value: float, total: float | None) -> str:
    """The worth in words, with its share of ``total`` unless that is None."""
    return format_gain(value) if total is None else f"{format_gain(value)} ({value / total:.0%})"
