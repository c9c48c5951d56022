"""One workload of ``benchmarks/gpu.py``, ready for contestants, without a study, a database or a tracker."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from autotune.events import Block, Feed, Scalar, TrialOrder, Warmed
from autotune.hardware import Machine, describe_machine
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import Comparison, compare
from autotune.trial.arena import Limits, ProcessArena
from autotune.trial.launcher import Launcher
from autotune.trial.leases import make_pool

RIVAL = "benchmarks.gpu_rival:train"
_WARM_SECONDS = 420.0
"""max-autotune compiles a ResNet-50 for minutes."""


@dataclass(frozen=True)
class Scale:
    """How long is measured."""

    block_seconds: float
    quads: int


@dataclass
class Ground:
    """A launcher of one task, and its arena; a context manager."""

    task: str
    """As a spec names it."""
    parameters: Mapping[str, Scalar]
    """All learning parameters."""
    device: str
    """``cpu`` or ``cuda``."""
    folder: Path
    """For logs; absolute."""
    warm_seconds: float = _WARM_SECONDS
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> Self:
        launcher = self._stack.enter_context(Launcher.start(self.task))
        facts = launcher.facts
        self.pool = make_pool(self.device, facts=facts, jobs=1)
        here = describe_machine(facts)
        without = here.torch.model_copy(update={"accelerators": ()})
        self.machine: Machine = here if self.device == "cuda" else here.model_copy(update={"torch": without})
        lease = self.pool.acquire()
        assert lease is not None, "a fresh pool has a lease"
        order = TrialOrder(
            study="gpu",
            number=0,
            task=self.task,
            parameters=dict(self.parameters),
            objective_metrics=(),
            epochs=1,
            seed=0,
            device=lease.device,
            visible_devices=lease.visible_devices,
            cores=lease.cores,
            folder=str(self.folder),
        )
        arena = ProcessArena(launcher, order, folder=self.folder, limits=Limits(warm_seconds=self.warm_seconds))
        self.arena = self._stack.enter_context(arena)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def num_cores(self) -> int:
        """Of the lease."""
        return self.pool.num_cores


class LoaderLeftOut:
    """A contestant that trains on one batch that stays on the device, whatever it is asked for."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant

    @property
    def setting(self) -> Mapping[str, Scalar]:
        """The contestant's."""
        return self._contestant.setting

    @property
    def warmed(self) -> Warmed:
        """The contestant's."""
        return self._contestant.warmed

    @property
    def is_retired(self) -> bool:
        """The contestant is."""
        return self._contestant.is_retired

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """A block on that batch."""
        del feed
        return self._contestant.run_block(seconds=seconds, min_steps=min_steps, feed="cached")

    def retire(self) -> None:
        """Retire the contestant."""
        self._contestant.retire()


def compare_steps(first: Contestant, second: Contestant, *, scale: Scale) -> Comparison:
    """The second over the first, with the loader left out."""
    # The first cached block after others of its kind is warm already; a block of each brings both there.
    for contestant in (first, second):
        contestant.run_block(seconds=0.0, min_steps=1, feed="cached")
    return compare(LoaderLeftOut(first), LoaderLeftOut(second), quads=scale.quads, seconds=scale.block_seconds)


def compare_trainings(first: Contestant, second: Contestant, *, scale: Scale) -> Comparison:
    """The second over the first, end to end, with the loader."""
    return compare(first, second, quads=scale.quads, seconds=scale.block_seconds)


def figure(comparison: Comparison) -> str:
    """Such as ``1.42 [1.38, 1.47]``."""
    low, high = comparison.interval
    return f"{comparison.ratio:.2f} [{low:.2f}, {high:.2f}]"


def milliseconds(blocks: tuple[Block, ...]) -> str:
    """Of a step, the median over blocks."""
    steps = sorted(block.seconds / block.steps for block in blocks)
    return f"{1000 * steps[len(steps) // 2]:.2f} ms"
