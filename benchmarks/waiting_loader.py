"""Whether short blocks with pauses show the throughput that a training without them has, where workers fetch its data.

Workers that wait (for a disk far away, say) have their batches ready when they go on after a pause; those that compute
do not. Each repeat trains ten blocks as a race does, with pauses as long as another contestant's blocks, and then one
long block. The figure is the throughput of the former over that of the latter: 1 is true.

    python benchmarks/waiting_loader.py [--repeats 6]

Takes about a minute a repeat.
"""

import argparse
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from typing_extensions import override

from autotune.events import Block, Scalar
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.statistics import median_interval
from autotune.speed.racing.pace import Pace
from autotune.training import Task
from autotune.training.parameters import Parameters
from benchmarks.figures import figure, header, load
from benchmarks.gpu_ground import Ground

_BATCH_SIZE = 32
_FETCH_SECONDS = 0.06
_STEP_SECONDS = 0.005
_NUM_BLOCKS = 10
_LONG_SECONDS = 3.0
_WORKERS = 1, 2, 8


class Fetched(Dataset[tuple[Tensor, int]]):
    """Batches that each take their time, in which a worker waits or computes."""

    def __init__(self, *, is_computing: bool) -> None:
        self._is_computing = is_computing
        self._sample = torch.zeros(4)

    def __len__(self) -> int:
        return 1000 * _BATCH_SIZE

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._sample, index % 2

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """One batch."""
        if self._is_computing:
            until = time.process_time() + _FETCH_SECONDS
            while time.process_time() < until:
                pass
        else:
            time.sleep(_FETCH_SECONDS)
        return [self[index] for index in indices]


class Slow(nn.Module):
    """A step that takes a while without a core."""

    def __init__(self) -> None:
        super().__init__()
        self._layer = nn.Linear(4, 2)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(_STEP_SECONDS)
        logits: Tensor = self._layer(inputs)
        return logits


class Fed(Task):
    """Reads ``is_computing``."""

    @override
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Fetched(is_computing=params.is_computing)

    @override
    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return Fetched(is_computing=False)

    @override
    def model(self, params: Parameters) -> nn.Module:
        del params
        return Slow()


def steps_a_second(blocks: list[Block]) -> float:
    """Over all blocks together."""
    return sum(block.steps for block in blocks) / sum(block.seconds for block in blocks)


def raced(contestant: Contestant) -> float:
    """Steps a second in blocks as a race has them."""
    pace, blocks = Pace(), []
    for _ in range(_NUM_BLOCKS):
        blocks.append(contestant.run_block(seconds=pace.block_seconds, min_steps=pace.min_steps))
        time.sleep(2 * pace.block_seconds)
    return steps_a_second(blocks)


def measure(*, num_workers: int, is_computing: bool, repeats: int) -> str:
    """The figure of one loader."""
    parameters: dict[str, Scalar] = {"optimizer": "sgd", "lr": 1e-3, "batch_size": _BATCH_SIZE}
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(
            "benchmarks.waiting_loader:Fed",
            parameters={**parameters, "is_computing": is_computing},
            device="cpu",
            folder=Path(folder),
        )
        with ground:
            contestant = ground.arena.enter(
                {"num_workers": num_workers, "persistent_workers": True, "torch_threads": 1}
            )
            ratios = []
            for _ in range(repeats):
                short = raced(contestant)
                ratios.append(short / steps_a_second([contestant.run_block(seconds=_LONG_SECONDS, min_steps=1)]))
    low, high = median_interval([math.log(ratio) for ratio in ratios], confidence=0.95)
    return figure(statistics.median(ratios), (math.exp(low), math.exp(high)))


def main() -> None:
    """Print a row for each loader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=6)
    arguments = parser.parse_args()
    print(header())
    print(
        f"{arguments.repeats} repeats, batches of {1000 * _FETCH_SECONDS:.0f} ms, steps of {1000 * _STEP_SECONDS:.0f}"
    )
    print("\n| workers | they wait | they compute | load |")
    print("|---|---|---|---|")
    for num_workers in _WORKERS:
        cells = [
            measure(num_workers=num_workers, is_computing=is_computing, repeats=arguments.repeats)
            for is_computing in (False, True)
        ]
        print(f"| {num_workers} | {' | '.join(cells)} | {load()} |", flush=True)


if __name__ == "__main__":
    main()
