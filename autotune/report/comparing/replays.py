"""A trial trained again, beside its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import EpochReport


@dataclass(frozen=True, kw_only=True)
class EpochPair:
    """One epoch of a trial, as it was recorded and as its replay came out."""

    epoch: int
    recorded: Mapping[str, float]
    replayed: Mapping[str, float]
    """Metrics of the replay; empty where it did not reach this epoch."""


@dataclass(frozen=True, kw_only=True)
class ReplaySummary:
    """A replay beside the record of its trial; the fields are the keys of its JSON."""

    study: str
    number: int
    is_same: bool
    """All metrics of all recorded epochs are equal, to the last bit."""
    epochs: tuple[EpochPair, ...]


def summarise_replay(
    study: str, *, number: int, is_same: bool, recorded: Sequence[EpochReport], replayed: Sequence[EpochReport]
) -> ReplaySummary:
    """Pair the reports by epoch; recorded epochs decide which pairs there are."""
    again = {report.epoch: dict(report.metrics) for report in replayed}
    pairs = tuple(
        EpochPair(epoch=report.epoch, recorded=dict(report.metrics), replayed=again.get(report.epoch, {}))
        for report in recorded
    )
    return ReplaySummary(study=study, number=number, is_same=is_same, epochs=pairs)
