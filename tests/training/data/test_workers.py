import gc
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor
from typing_extensions import override

from autotune.events import Outcome, Scalar
from autotune.training.batches import Batch
from autotune.training.process.forking import import_ahead
from tests.training.tasks import Points
from tests.training.trials import Recorder, train

WORKERS: dict[str, Scalar] = {"batch_size": 8, "num_workers": 1, "persistent_workers": True}


class Broken(Points):
    @override
    def loss(self, outputs: Tensor, targets: Batch) -> Tensor:
        raise ValueError("no loss today")


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    import_ahead()  # as the fork server does: what fails in an import keeps the frames below it
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    ("task", "stop_after", "outcome"),
    [(Points(), None, Outcome.COMPLETE), (Points(), 4, Outcome.INTERRUPTED), (Broken(), None, Outcome.FAILED)],
    ids=["complete", "stopped inside an epoch", "failed"],
)
def test_trial_that_is_over_leaves_no_worker_to_the_garbage_collector(
    tmp_path: Path, task: Points, stop_after: int | None, outcome: Outcome
) -> None:
    """It ends a loader's queues before its workers, and then waits five seconds for each of them."""
    before = {child.pid for child in multiprocessing.active_children()}
    trained = train(task, tmp_path, WORKERS, channel=Recorder(stop_after=stop_after))
    assert trained.finished.outcome is outcome
    assert {child.pid for child in multiprocessing.active_children()} <= before
