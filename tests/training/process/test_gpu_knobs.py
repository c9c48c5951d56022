"""What acts on a CUDA device alone is in force there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autotune.events import Outcome, Scalar
from autotune.training.batches import mover
from autotune.training.data.prefetch import copied_ahead
from autotune.training.process.run import run_trial
from tests.training.process.test_knobs import Pictures
from tests.training.tasks import Points
from tests.training.trials import Recorder, loaded, order

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]


def in_force(folder: Path, **knobs: Scalar) -> dict[str, Scalar]:
    channel = Recorder()
    parameters: dict[str, Scalar] = {"batch_size": 8, "lr": 0.01, **knobs}
    trial_order = order(folder, parameters, epochs=1).model_copy(update={"device": "cuda"})
    finished = run_trial(trial_order, task=loaded(Pictures()), channel=channel)
    assert finished.outcome is Outcome.COMPLETE, finished
    (started,) = (event for event in channel.events if event.kind == "started")
    return started.in_force


@pytest.mark.parametrize(
    "knobs",
    [
        {"pin_memory": True},
        {"pin_memory": True, "device_prefetch": True},
        {"cache": "device"},
        {"cache": "memory", "pin_memory": True},
        {"cudnn_benchmark": True, "cudnn_benchmark_limit": 0},
        {"cudnn_deterministic": True},
        {"fp32_precision_matmul": "tf32"},
        {"fp32_precision_conv": "ieee"},
        {"fp32_precision_rnn": "ieee"},
        {"sdpa_backend": "flash"},
    ],
    ids=str,
)
def test_knob_is_in_force_as_asked(tmp_path: Path, knobs: dict[str, Scalar]) -> None:
    assert in_force(tmp_path, **knobs).items() >= knobs.items()


def test_copies_ahead_are_the_batches_in_their_order() -> None:
    device = torch.device("cuda")
    batches = [torch.full((4, 3), float(number)).pin_memory() for number in range(20)]
    move = mover(device, channels_last=False)
    assert move is not None

    def source() -> Iterator[torch.Tensor]:
        yield from batches

    for expected, batch in zip(batches, copied_ahead(source(), move, device=device), strict=True):
        assert batch.device.type == "cuda"
        assert torch.equal(batch.cpu(), expected)


def test_a_cache_on_the_device_trains_as_a_loader_does(tmp_path: Path) -> None:
    losses = []
    for cache in ("off", "device"):
        channel = Recorder()
        parameters: dict[str, Scalar] = {"batch_size": 8, "lr": 0.05, "cache": cache}
        trial_order = order(tmp_path / cache, parameters).model_copy(update={"device": "cuda"})
        run_trial(trial_order, task=loaded(Points()), channel=channel)
        losses.append([event.metrics["train_loss"] for event in channel.events if event.kind == "report"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
