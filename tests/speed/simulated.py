"""Contestants on a machine that is computed: its clock is a number, its noise a seeded model, and nothing waits."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from autotune.events import Block, Feed, Scalar, Warmed
from autotune.speed.measuring.arena import ContestantLostError

Setting = Mapping[str, Scalar]


class Noise(Protocol):
    """What the machine does to every step, as a factor on its time."""

    def factor(self, now: float, generator: random.Random) -> float: ...


@dataclass
class Jitter:
    """A little, in each block."""

    spread: float = 0.02

    def factor(self, now: float, generator: random.Random) -> float:
        del now
        return math.exp(generator.gauss(0.0, self.spread))


@dataclass
class Drift:
    """Linear in time: the share that is gained over so many seconds."""

    share: float = 0.08
    over_seconds: float = 6.4

    def factor(self, now: float, generator: random.Random) -> float:
        del generator
        return 1 + self.share * now / self.over_seconds


@dataclass
class RandomWalk:
    """Steps of the logarithm, so large in a second; one sign is as likely as the other."""

    spread_per_second: float = 0.04
    at: float = 0.0
    logarithm: float = 0.0

    def factor(self, now: float, generator: random.Random) -> float:
        self.logarithm += generator.gauss(0.0, self.spread_per_second * math.sqrt(max(0.0, now - self.at)))
        self.at = now
        return math.exp(self.logarithm)


@dataclass
class Spikes:
    """A block so many times slower, now and then."""

    chance: float = 0.05
    times: float = 3.0

    def factor(self, now: float, generator: random.Random) -> float:
        del now
        return self.times if generator.random() < self.chance else 1.0


@dataclass
class TwoClocks:
    """Two clock speeds; the machine changes from one to the other at any block."""

    chance: float = 0.15
    times: float = 1.25
    is_slow: bool = False

    def factor(self, now: float, generator: random.Random) -> float:
        del now
        if generator.random() < self.chance:
            self.is_slow = not self.is_slow
        return self.times if self.is_slow else 1.0


_SHORT_BLOCKS = 2
"""Of a contestant, before the longest batch comes."""


@dataclass(frozen=True)
class Cost:
    """What a step of a setting takes, without noise."""

    compute_seconds: float
    """Forward, backward and optimizer of a whole batch, where the device is what is waited for."""
    launch_seconds: float = 0.0
    """The least that a step takes, however small its batch."""
    wait_seconds: float = 0.0
    """Waiting for the loader."""
    hidden_seconds: float = 0.0
    """Likewise, while the device is still at work."""
    start_seconds: float = 0.0
    epoch_start_seconds: float = 0.0
    losses: Callable[[int, int], float] | None = None
    """The loss of (seed, step); None: the loop tells none."""
    in_force: Setting | None = None
    """What takes hold, where it is not the setting."""
    failure: ContestantLostError | None = None
    """Raised when a contestant enters."""
    block_failure: ContestantLostError | None = None
    """Raised by its first block."""
    half_failure: ContestantLostError | None = None
    """Raised by a block of half a batch, which such a step can't be trained with."""
    peak_memory_bytes: int = 1_000_000
    longest_batch_bytes: int | None = None
    """Held from the third block of a contestant on; None for no more than the peak of its warm-up."""
    held_memory_bytes: int | None = None
    """While it waits; None for the peak."""

    def step_seconds(self, feed: Feed) -> float:
        compute = self.compute_seconds / 2 if feed == "half" else self.compute_seconds
        wait = self.wait_seconds if feed == "real" else 0.0
        return wait + max(compute, self.launch_seconds)


@dataclass
class SimulatedMachine:
    """The time that all contestants share, and what has happened on it."""

    seed: int = 0
    noises: tuple[Noise, ...] = ()
    now: float = 0.0
    generator: random.Random = field(init=False)
    turns: "list[SimulatedContestant]" = field(default_factory=list)
    """Whose block it was, for each block, in order."""
    memory_bytes: int | None = None
    """Of the device, which all contestants that were not retired share; None for enough."""
    held_bytes: int = 0
    """By other programs."""
    start_spread: float = 0.0
    """Of what processes of one setting differ by for as long as they live."""
    device: str = "cpu"
    most_at_once: int = 0
    """Contestants that held the device together."""
    num_refused: int = 0
    """Starts for which memory was too small."""

    def __post_init__(self) -> None:
        self.generator = random.Random(self.seed)

    def factor(self) -> float:
        return math.prod(noise.factor(self.now, self.generator) for noise in self.noises)

    def allocate(self, num_bytes: int, *, beside: "Sequence[SimulatedContestant]") -> None:
        """A contestant of this size is started beside others."""
        self.most_at_once = max(self.most_at_once, len(beside) + 1)
        if self.memory_bytes is None:
            return
        held = sum(contestant.held_memory_bytes for contestant in beside)
        if held + num_bytes + self.held_bytes > self.memory_bytes:
            self.num_refused += 1
            is_crowded = num_bytes <= self.memory_bytes and held + self.held_bytes > 0
            who = f"other processes hold {held + self.held_bytes}" if is_crowded else "no room"
            raise ContestantLostError("out of memory", who, shortage=None if is_crowded else "device")


class SimulatedContestant:
    def __init__(
        self,
        setting: Setting,
        cost: Cost,
        machine: SimulatedMachine,
        *,
        seed: int = 0,
        batch_size: int = 32,
        steps_per_epoch: int | None = 100,
    ) -> None:
        self.setting = dict(setting)
        self.is_retired = False
        self.failure = cost.block_failure
        """Raised by the next block, which retires it."""
        self.blocks: list[Block] = []
        self.held_memory_bytes = cost.peak_memory_bytes if cost.held_memory_bytes is None else cost.held_memory_bytes
        self._cost = cost
        self._machine = machine
        self._factor = math.exp(machine.generator.gauss(0.0, machine.start_spread)) if machine.start_spread else 1.0
        self._seed = seed
        self._batch_size = batch_size
        self._steps = 0
        machine.now += cost.start_seconds
        self.warmed = Warmed(
            in_force=dict(setting if cost.in_force is None else cost.in_force),
            device=machine.device,
            start_seconds=cost.start_seconds,
            epoch_start_seconds=cost.epoch_start_seconds,
            steps_per_epoch=steps_per_epoch,
            peak_memory_bytes=cost.peak_memory_bytes,
            held_memory_bytes=cost.held_memory_bytes,
        )

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        assert not self.is_retired
        cost = self._cost
        if self.failure is not None:
            self.retire()
            raise self.failure
        if feed == "half" and cost.half_failure is not None:
            self.retire()
            raise cost.half_failure
        factor = self._factor * self._machine.factor()
        step_seconds = cost.step_seconds(feed) * factor
        steps = max(min_steps, math.ceil(seconds / step_seconds))
        took = steps * step_seconds
        wait = steps * cost.wait_seconds * factor if feed == "real" else 0.0
        self._machine.now += took
        first, self._steps = self._steps, self._steps + steps
        block = Block(
            feed=feed,
            steps=steps,
            samples=steps * (self._batch_size // 2 if feed == "half" else self._batch_size),
            seconds=took,
            data_wait_seconds=wait,
            fetch_seconds=wait + (steps * cost.hidden_seconds * factor if feed == "real" else 0.0),
            copy_seconds=0.0,
            compute_seconds=0.8 * (took - wait),
            optimizer_seconds=0.2 * (took - wait),
            losses=tuple(cost.losses(self._seed, step) for step in range(first, first + steps)) if cost.losses else (),
            peak_memory_bytes=self._peak_memory_bytes,
            load=1.0,
        )
        self.blocks.append(block)
        self._machine.turns.append(self)
        return block

    @property
    def _peak_memory_bytes(self) -> int:
        longest = self._cost.longest_batch_bytes
        return self._cost.peak_memory_bytes if longest is None or len(self.blocks) < _SHORT_BLOCKS else longest

    def retire(self) -> None:
        self.is_retired = True


class SimulatedArena:
    """Contestants whose cost is a function of their setting; ``entered`` keeps them all, in order."""

    def __init__(
        self,
        cost: Callable[[Setting], Cost],
        *,
        machine: SimulatedMachine | None = None,
        batch_size: int = 32,
        steps_per_epoch: int | None = 100,
    ) -> None:
        self.machine = machine or SimulatedMachine()
        self.entered: list[SimulatedContestant] = []
        self._cost = cost
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        cost = self._cost(setting)
        if cost.failure is not None:
            raise cost.failure
        if cost.start_seconds > limit_seconds:
            self.machine.now += limit_seconds
            raise ContestantLostError("hung", f"it is to be ready within {limit_seconds:.0f} s")
        beside = [contestant for contestant in self.entered if not contestant.is_retired]
        self.machine.allocate(cost.peak_memory_bytes, beside=beside)
        contestant = SimulatedContestant(
            setting,
            cost,
            self.machine,
            seed=seed,
            batch_size=self._batch_size,
            steps_per_epoch=self._steps_per_epoch,
        )
        self.entered.append(contestant)
        return contestant
