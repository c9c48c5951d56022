"""Finds out which of a study's batch sizes fit its GPU, once a race has found what trials train with.

A race measures one batch size. Where the study searches larger ones, the largest is trained for two steps with what
its trials take over of the race's winner; where it runs out of memory, those between are tried by halves. The smallest
that ran out is tried with the baseline's speed parameters, too, with which such a trial would be launched otherwise.
Peaks and losses are kept with the race's result, and say which trials are not launched (``fitting.py``), in later
studies on this machine as well. Without them the limit is found by trials that fail.

Nothing is tried on a processor, where running out of memory ends other programs. Nothing is tried either where trials
have told the limit already, or where a start takes more than the time that there is. What a start leaves untried, since
it was ended or had used up that time, the next one tries.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from autotune.coordinator.fitting import Fitting
from autotune.coordinator.races.ground import RaceGround
from autotune.coordinator.races.watchman import Watchman
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.speed.measuring.arena import Contestant
from autotune.speed.racing.batch import BatchTry, try_batches
from autotune.speed.racing.result import RaceResult, TriedBatch
from autotune.trial.leases import Lease

SHARE = 0.25
"""Share of a race's time that may be spent on larger batches after it."""


class BatchRoom:
    """Tries a study's larger batches, and tells its fitting what came of them.

    Args:
        ground: Where contestants are started.
        space: The study's search space, which has its batch sizes.
        fitting: What knows which trials fit the memory, and is told.
    """

    def __init__(self, ground: RaceGround, *, space: SearchSpace, fitting: Fitting) -> None:
        self._ground = ground
        self._space = space
        self._fitting = fitting

    def is_open(self, result: RaceResult, *, learning: Mapping[str, Scalar]) -> bool:
        """Whether the study has batches larger than these parameters' of which nothing tells yet if they fit a GPU."""
        return bool(self._untold(result, learning=learning))

    def try_larger(
        self,
        result: RaceResult,
        *,
        learning: Mapping[str, Scalar],
        lease: Lease,
        watchman: Watchman,
        on_begin: Callable[[int], None],
        on_tried: Callable[[TriedBatch], None],
    ) -> None:
        """Try larger batches after a race that has just ended, where that is worth its time.

        Args:
            result: What the race has found.
            learning: The learning parameters of the race's workload, the fixed ones too.
            lease: The device, on which nothing else of the study runs.
            watchman: What charges the study for the time of these tries, and knows how long they may take.
            on_begin: Called with the largest batch before it is tried.
            on_tried: Called with what came of each batch, as soon as its try is over.

        Raises:
            RaceEndedError: The study is to end, or the tries take too long.
        """
        sizes, taken_over = self._untold(result, learning=learning), result.setting_in_full_precision
        start = _start_seconds(result)
        if not sizes or start > watchman.seconds:
            return
        is_next_too_large = sizes[-1] < self._larger_than(learning)[-1]
        on_begin(sizes[-1])

        def may_start() -> bool:
            return watchman.spent_seconds + start <= watchman.seconds

        def attempt(sizes: Sequence[int], setting: Mapping[str, Scalar]) -> tuple[BatchTry, ...]:
            with ExitStack() as stack:

                def enter(batch_size: int) -> Contestant:
                    wider = {**learning, "batch_size": batch_size}
                    arena = self._ground.arena(wider, lease=lease, on_wait=watchman.check, seconds=watchman.seconds)
                    return stack.enter_context(arena).enter(setting)

                return try_batches(
                    enter,
                    sizes=sizes,
                    is_next_too_large=is_next_too_large,
                    may_start=may_start,
                    tried=lambda each: on_tried(_tried(each, setting=setting)),
                )

        lost = [each.batch_size for each in attempt(sizes, taken_over) if each.shortage is not None]
        if lost and taken_over != result.baseline:
            attempt([min(lost)], result.baseline)

    def learn(self, result: RaceResult, *, workload: Workload) -> None:
        """Learn what a race, and the batches that were tried after it, say of memory."""
        learning = {**workload.features, **dict.fromkeys(result.kept_state, True)}
        winner = self._space.with_speed(learning, result.setting)
        self._fitting.learn_race(winner, peak_bytes=result.peak_memory_bytes)
        for tried in result.batches:
            parameters = self._space.with_speed({**learning, "batch_size": tried.batch_size}, tried.setting)
            if tried.peak_memory_bytes is not None:
                self._fitting.learn_race(parameters, peak_bytes=tried.peak_memory_bytes)
            elif tried.shortage is not None:
                self._fitting.learn_lost_race(parameters, shortage=tried.shortage)

    def _untold(self, result: RaceResult, *, learning: Mapping[str, Scalar]) -> list[int]:
        """The study's larger batches of which nothing tells whether they fit a GPU, in rising order."""
        setting = result.setting_in_full_precision
        parameters = self._space.with_speed(learning, setting)
        is_told = parameters.get("accumulate") == "auto" or self._fitting.has_limit(parameters)
        if is_told or self._ground.gpu_bytes is None:
            return []
        tried = [each for each in result.batches if each.setting == setting]
        most = min((each.batch_size for each in tried if each.reason), default=math.inf)
        most = min(most, self._fitting.least_raced_loss(parameters) or math.inf)
        least = max((each.batch_size for each in tried if not each.reason), default=0)
        return [size for size in self._larger_than(learning) if least < size < most]

    def _larger_than(self, learning: Mapping[str, Scalar]) -> list[int]:
        """The study's batch sizes above that of these parameters, rising; a range gives one for each doubling."""
        own = learning.get("batch_size")
        searched = next((each for each in self._space.learning.parameters if each.name == "batch_size"), None)
        if not isinstance(own, int) or searched is None:
            return []
        most = self._ground.num_train_samples
        return [size for size in _sizes(searched) if size > own and (most is None or size <= most)]


def _start_seconds(result: RaceResult) -> float:
    """Seconds that a start with the winner took; where no heat had that, as for the baseline, the least of any."""
    starts = [(heat.setting, heat.start_seconds) for heat in result.heats if heat.start_seconds is not None]
    own = [seconds for setting, seconds in starts if setting == result.setting]
    return max(own, default=min((seconds for _, seconds in starts), default=0.0))


def _tried(attempt: BatchTry, *, setting: Mapping[str, Scalar]) -> TriedBatch:
    """What is kept beside a race of a larger batch that was tried with this setting after it."""
    return TriedBatch(
        batch_size=attempt.batch_size,
        setting=dict(setting),
        peak_memory_bytes=attempt.peak_memory_bytes,
        reason=attempt.reason,
        shortage=attempt.shortage,
    )


def _sizes(searched: SpaceParameter) -> list[int]:
    """The searched batch sizes that are worth trying, in rising order: all choices, or the doublings of a range."""
    if searched.type == "choices":
        return sorted(size for size in searched.choices if isinstance(size, int))
    low, size = searched.low, searched.high
    assert isinstance(low, int)
    assert isinstance(size, int)
    sizes = []
    while size > low:
        sizes.append(size)
        size //= 2
    return sizes[::-1]
