"""How much memory a batch takes, from what was measured and what ran out: peak = a + b * batch size."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from autotune.events import Scalar

Shape: TypeAlias = tuple[tuple[str, Scalar], ...]
"""Everything besides the batch size that decides the memory of a training: names and values, sorted by name."""

_TWO = 2  # points that a line needs


@dataclass(frozen=True)
class Room:
    """The memory of a device."""

    total_bytes: int
    held_bytes: int = 0
    """Bytes that other processes hold."""

    @property
    def free_bytes(self) -> int:
        """What a trial can have."""
        return max(0, self.total_bytes - self.held_bytes)

    @property
    def words(self) -> str:
        """Such as ``80.0 GiB``, or ``80.0 GiB less 12.0 GiB that other processes hold``."""
        total = _gibibytes(self.total_bytes)
        return f"{total} less {_gibibytes(self.held_bytes)} that other processes hold" if self.held_bytes else total


@dataclass
class _Evidence:
    """What is known of one shape: (batch size, peak bytes) by trial, batch sizes of trials that ran out, and races."""

    measured: dict[int, tuple[int, int]] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    raced: dict[int, int] = field(default_factory=dict)
    """Peak bytes of race winners, by batch size."""
    lost_races: set[int] = field(default_factory=set)
    """Batch sizes at which a race ran out of memory."""


class MemoryModel:
    """Tells whether a trial will fit, from trials and races of the same shape."""

    def __init__(self) -> None:
        self._evidence: defaultdict[Shape, _Evidence] = defaultdict(_Evidence)

    def add_peak(self, number: int, *, shape: Shape, batch_size: int, peak_bytes: int) -> None:
        """Add the peak memory of a trial that trained at least one epoch."""
        self._evidence[shape].measured[number] = (batch_size, peak_bytes)

    def add_loss(self, number: int, *, shape: Shape, batch_size: int) -> None:
        """Add a trial that ran out of its device's memory."""
        self._evidence[shape].lost[number] = batch_size

    def add_raced_peak(self, *, shape: Shape, batch_size: int, peak_bytes: int) -> None:
        """Add the peak memory of a race's winner; the largest counts for each batch size."""
        raced = self._evidence[shape].raced
        raced[batch_size] = max(peak_bytes, raced.get(batch_size, 0))

    def add_raced_loss(self, *, shape: Shape, batch_size: int) -> None:
        """Add a race that ran out of memory with the setting that it begins with."""
        self._evidence[shape].lost_races.add(batch_size)

    def has_raced_loss(self, *, shape: Shape, batch_size: int) -> bool:
        """Whether a race of this shape and batch size ran out of memory."""
        return shape in self._evidence and batch_size in self._evidence[shape].lost_races

    def has_limit(self, *, shape: Shape) -> bool:
        """Whether something tells which batches of this shape fit: two sizes that trained, or a trial that ran out."""
        evidence = self._evidence.get(shape, _Evidence())
        trained = {batch for batch, _ in evidence.measured.values()} | evidence.raced.keys()
        return len(trained) >= _TWO or bool(evidence.lost)

    def least_raced_loss(self, *, shape: Shape) -> int | None:
        """The smallest batch of this shape that ran out in a race, or was tried after one; None where none did."""
        return min(self._evidence.get(shape, _Evidence()).lost_races, default=None)

    def reason_not_to_launch(self, *, shape: Shape, batch_size: int, room: Room) -> str | None:
        """Why a trial of this shape and batch size will run out; None where nothing says so.

        It will if a batch that was no larger ran out, or if the line through all peaks predicts more than is free.
        """
        evidence = self._evidence.get(shape, _Evidence())
        trained = {batch for batch, _ in evidence.measured.values()}
        largest = max(trained, default=-1)
        # A trial that ran out although a larger batch did not says nothing about its size. The few steps of a race say
        # nothing of whole trials: they may have met the smallest batches, as of texts of unlike lengths.
        lost = {number: batch for number, batch in evidence.lost.items() if batch > largest}
        smaller = [number for number, batch in lost.items() if batch <= batch_size]
        if smaller:
            trial = min(smaller, key=lambda number: (lost[number], number))
            return f"predicted not to fit: trial {trial} ran out of memory{_with(lost[trial])}"
        largest = max(trained | evidence.raced.keys(), default=-1)
        race = min((batch for batch in evidence.lost_races if largest < batch <= batch_size), default=None)
        if race is not None:
            return f"predicted not to fit: the race{_with(race)} ran out of memory"
        points, raced = dict(evidence.measured), [*evidence.raced.items()]
        line = _fit([*points.values(), *raced])
        for number, batch in lost.items():
            if line is None or line(batch) < room.total_bytes:
                # It needed at least the whole device (on a crowded one it would not have been called
                # lost); how much more, nobody knows.
                points[number] = (batch, room.total_bytes)
        line = _fit([*points.values(), *raced])
        if line is None or line(batch_size) <= room.free_bytes:
            return None
        sources = " and ".join([*_listed("trial", points), *_listed("race", evidence.raced, of="with batch_size ")])
        return f"predicted not to fit: about {_gibibytes(line(batch_size))} of {room.words}, from {sources}"


@dataclass(frozen=True)
class _Line:
    intercept: float
    slope: float

    def __call__(self, batch_size: int) -> float:
        return self.intercept + self.slope * batch_size


def _fit(points: Sequence[tuple[int, int]]) -> _Line | None:
    """Least squares, with a slope of at least 0; None where all points have one batch size."""
    if len({batch for batch, _ in points}) < _TWO:
        return None
    mean_batch = sum(batch for batch, _ in points) / len(points)
    mean_peak = sum(peak for _, peak in points) / len(points)
    covariance = sum((batch - mean_batch) * (peak - mean_peak) for batch, peak in points)
    slope = max(0.0, covariance / sum((batch - mean_batch) ** 2 for batch, _ in points))
    return _Line(mean_peak - slope * mean_batch, slope)


def _listed(noun: str, numbers: Iterable[int], *, of: str = "") -> list[str]:
    """``trial 1`` or ``trials 1, 2 and 4``, or nothing; of many the last five."""
    *most, last = [*map(str, sorted(numbers)[-5:])] or [""]
    if not last:
        return []
    return [f"{noun}s {of}{', '.join(most)} and {last}"] if most else [f"{noun} {of}{last}"]


def _with(batch_size: int) -> str:
    return f" with batch_size {batch_size}" if batch_size else ""


def _gibibytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
