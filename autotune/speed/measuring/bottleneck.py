"""What a training step waits for, by three kinds of blocks: the real loop, one cached batch, half of that batch.

With the seconds a step of each, r, c and h: the input's share is 1 - c / r, since a cached batch
needs no loader. Of the rest, a step costs o + w for a launching cost o that no batch size changes
and work w that grows with it; half the batch costs o + w / 2, so o = 2 h - c. A compiled step is not
halved, which would compile it anew, nor is one that is replayed, which waits for no launches, nor one that takes so
long that nobody would hear of its bottleneck in time: what it does not wait for data is one share then.
"""

import statistics
import time
from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict

from autotune.events import Block, Feed
from autotune.speed.measuring.arena import Contestant, ContestantLostError
from autotune.task_knob import Bottleneck

_ROUNDS = 3
"""Blocks of each kind that a diagnosis takes at most."""
_ENOUGH_SECONDS = 4.0
"""Seconds after which no further round is begun."""
_MOST_SECONDS = 10.0
"""Seconds within which who waits for a race is to hear of its bottleneck."""
_SETTLING_STEPS = 3
"""Steps on half a batch before its first block, the fewest in which they settle."""
LEAST_SHARE = 0.05
"""A knob can gain no more than the share of what it moves; below this it is not worth its race."""
LEAST_CUT = 4
"""A batch of fewer samples is not halved: nearly all of its step is launching. A larger one that comes back whole is
of a kind that can't be cut, which says nothing of what it waits for."""
_ORDER: tuple[Feed, ...] = ("real", "cached", "half")
NUM_BLOCKS = _ROUNDS * len(_ORDER)
"""Blocks that a diagnosis takes at most."""


class Diagnosis(BaseModel):
    """How a step's time splits among its three possible bottlenecks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_share: float
    """Share of a step's wall clock, 0 to 1, in which it waits for data; epoch starts included."""
    launch_share: float
    """Share of a step, 0 to 1, that is paid whatever the batch's size; 0 where the step was not halved."""
    compute_share: float
    """Share of a step, 0 to 1, that grows with the batch; all but the input's share where the step was not halved."""
    real_seconds: float
    """Seconds of a step of the real loop, with its share of the epoch's start."""
    cached_seconds: float
    """Seconds of a step on one batch that is on the device already."""
    half_seconds: float | None
    """Seconds of a step on half of the cached batch; None where it was not halved."""
    fetch_seconds: float = 0.0
    """Seconds of a real step that the host spends inside of the loader, even while the device is at work."""
    num_rounds: int = _ROUNDS
    """Blocks of each kind that this rests on."""

    @property
    def shares(self) -> Mapping[Bottleneck, float]:
        """The share of each bottleneck in a step; they add up to 1."""
        return {"input": self.input_share, "launch": self.launch_share, "compute": self.compute_share}

    def input_share_at(self, times: float) -> float:
        """The input's share, 0 to 1, of a step whose other parts are so many times faster than here.

        What a host fetches while the device is still at work is waited for then.
        """
        fetching = max(self.real_seconds - self.cached_seconds, self.fetch_seconds)
        return fetching / (fetching + self.cached_seconds / times)

    @property
    def kind(self) -> Bottleneck:
        """The bottleneck with the largest share."""
        shares = self.shares
        return max(shares, key=lambda kind: shares[kind])

    @property
    def worth_moving(self) -> tuple[Bottleneck, ...]:
        """Bottlenecks whose share a race can win something of, the largest first."""
        ordered = sorted(self.shares.items(), key=lambda item: -item[1])
        worth = tuple(kind for kind, share in ordered if share >= LEAST_SHARE)
        return (*worth, "launch") if self.half_seconds is None and "compute" in worth else worth

    @property
    def words(self) -> str:
        """The finding with its evidence, in one line."""
        real, cached = (
            f"{_written(self.real_seconds)} a step",
            f"{_written(self.cached_seconds)} with a batch that is there already",
        )
        few = {1: "; one block of each", 2: "; two blocks of each"}.get(self.num_rounds, "")
        if self.kind == "input":
            return f"input-bound: {self.input_share:.0%} of a step waits for data ({real}, {cached}{few})"
        if self.half_seconds is None:
            rest = self.launch_share + self.compute_share
            return f"not input-bound: {rest:.0%} of a step does not wait for data ({real}, {cached}{few})"
        relative = self.half_seconds / self.cached_seconds
        half = f"half the batch takes {f'{relative:.0%} of the time' if round(relative, 2) < 1 else 'as long'}"
        if self.kind == "launch":
            share = f"{self.launch_share:.0%} of a step is paid whatever the batch's size"
            return f"launch-bound: {share} ({half}; {real}{few})"
        return f"compute-bound: {self.compute_share:.0%} of a step grows with the batch ({half}; {real}, {cached}{few})"


class HalfBatchError(ContestantLostError):
    """A contestant was lost on half a batch: its step can't be cut, which says nothing of whole ones."""


def diagnose(
    contestant: Contestant,
    *,
    seconds: float = 0.2,
    min_steps: int = 5,
    is_halved: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Diagnosis:
    """Find the bottleneck of a warm contestant, in nine blocks; in fewer and shorter ones where its steps are long.

    The answer takes less than ten seconds for steps of up to 2.5 s, and of 3.3 s where a single process fetches
    batches. Half a batch is left out where it has no time, which is so from steps of about 1.3 s on.

    Args:
        contestant: The one whose step is looked at; it is warm.
        seconds: Least wall-clock length of a block.
        min_steps: Fewest steps of a block, where there is time for them.
        is_halved: Tell launching from computing by steps on half a batch.
        clock: Gives seconds; a simulation has its own.

    Raises:
        HalfBatchError: The contestant is lost on half a batch.
        ContestantLostError: The contestant is lost on a whole one.
    """
    began, num_rounds = clock(), 0
    blocks = _Blocks(contestant, seconds=seconds, min_steps=min_steps, until=began + _MOST_SECONDS, clock=clock)
    order = _ORDER if is_halved else _ORDER[:-1]
    while num_rounds < _ROUNDS and (num_rounds == 0 or clock() - began < _ENOUGH_SECONDS):
        for feed in order if num_rounds % 2 == 0 else reversed(order):
            if feed != "half" or num_rounds > 0 or blocks.have_time_for(_SETTLING_STEPS + 1):
                blocks.run(feed)
        order = tuple(feed for feed in order if feed in blocks.step_seconds)
        num_rounds += 1
    return blocks.split().model_copy(update={"num_rounds": num_rounds})


class _Blocks:
    """The blocks of a diagnosis, with as many steps as there is time for."""

    def __init__(
        self, contestant: Contestant, *, seconds: float, min_steps: int, until: float, clock: Callable[[], float]
    ) -> None:
        self._contestant = contestant
        self._seconds = seconds
        self._min_steps = min_steps
        self._until = until
        self._clock = clock
        self.step_seconds: dict[Feed, list[float]] = {}
        """For each kind of block, what a step took in each of them."""
        self._fractions: list[float] = []
        self._fetches: list[float] = []

    def have_time_for(self, num_steps: int) -> bool:
        """Whether so many more steps on a batch that is there, or on half of it, end in time."""
        *_, longest = self.step_seconds.get("cached", self.step_seconds["real"])
        return self._clock() + num_steps * longest <= self._until

    def run(self, feed: Feed) -> None:
        """Run a block.

        Raises:
            HalfBatchError: The contestant is lost on half a batch.
            ContestantLostError: The contestant is lost on a whole one.
        """
        block = _run(self._contestant, seconds=self._seconds, min_steps=self._steps_of(feed), feed=feed)
        self.step_seconds.setdefault(feed, []).append(block.seconds / block.steps)
        if feed == "real":
            self._fetches.append(block.fetch_seconds / block.steps)
        else:
            self._fractions.append(block.samples / block.steps)

    def split(self) -> Diagnosis:
        """The shares of a step."""
        warmed = self._contestant.warmed
        charge = warmed.epoch_start_seconds / warmed.steps_per_epoch if warmed.steps_per_epoch else 0.0
        medians = {feed: statistics.median(values) for feed, values in self.step_seconds.items()}
        fraction = min(self._fractions) / max(self._fractions)
        was_halved = "half" in medians and (fraction < 1 or max(self._fractions) < LEAST_CUT)
        return split(
            real=medians["real"] + charge,
            cached=min(medians["cached"], medians["real"]),  # with its loader a step is no faster: that is noise
            half=medians["half"] if was_halved else None,
            fraction=fraction,
            fetch=statistics.median(self._fetches),
        )

    def _steps_of(self, feed: Feed) -> int:
        """The fewest steps of the next block.

        Batches of several workers tend to come together, so that one step of a real loop may tell of no wait, or of
        nothing else. Of all others one tells as much as two where they are long.
        """
        if feed != "real":
            num_blocks = 2 if feed == "cached" else 1
            return self._min_steps if self.have_time_for(num_blocks * self._min_steps + _SETTLING_STEPS) else 1
        num_workers = self._contestant.warmed.in_force.get("num_workers")
        is_first = "real" not in self.step_seconds
        return 1 if is_first and num_workers in (0, 1) else self._min_steps


def _run(contestant: Contestant, *, seconds: float, min_steps: int, feed: Feed) -> Block:
    """A block; one that is lost on half a batch is told apart."""
    try:
        return contestant.run_block(seconds=seconds, min_steps=min_steps, feed=feed)
    except ContestantLostError as error:
        if feed != "half":
            raise
        raise HalfBatchError(error.kind, str(error)) from error


def split(*, real: float, cached: float, half: float | None, fraction: float = 0.5, fetch: float = 0.0) -> Diagnosis:
    """The shares of a step, from the seconds of one step of each kind.

    Args:
        real: Seconds of a step of the real loop.
        cached: Seconds of a step on one batch that is there.
        half: Seconds of a step on the first ``fraction`` of that batch; None where there was none.
        fraction: 1 where the batch was too small to be cut: all but the input then counts as launching.
        fetch: Seconds of the real loop's step inside of the loader.
    """
    input_share = _clamp(1 - cached / real)
    launch_share = 0.0
    if half is not None:
        overhead = (half - fraction * cached) / (1 - fraction) if fraction < 1 else cached
        launch_share = (1 - input_share) * _clamp(overhead / cached)
    return Diagnosis(
        input_share=input_share,
        launch_share=launch_share,
        compute_share=1 - input_share - launch_share,
        real_seconds=real,
        cached_seconds=cached,
        half_seconds=half,
        fetch_seconds=fetch,
    )


def _clamp(share: float) -> float:
    return min(1.0, max(0.0, share))


def _written(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
