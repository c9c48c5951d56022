"""What a study knows of its machine before anything is stored."""

from pathlib import Path

import pytest
from typing_extensions import override

from autotune.coordinator.opening.stage import set_stage
from autotune.events import Rehearsal, TrialOrder
from autotune.hardware import TorchFacts
from autotune.spec.load import parse_spec
from autotune.task_knob import TaskKnob
from autotune.trial.launcher import Launcher
from tests.machines import torch_facts

SPEC = """
task: autotune.tasks.digits:Digits
objective: {metric: val_loss, direction: minimize}
budget: {trials: 3, epochs: 1}
learning: {lr: {low: 0.001, high: 0.1}}
baseline: {lr: 0.01}
"""


class TwoGpus(Launcher):
    """On a host with two GPUs; it starts nothing."""

    def __init__(self) -> None:
        """No process is there."""

    @property
    @override
    def facts(self) -> TorchFacts:
        return torch_facts(num_gpus=2)

    @property
    @override
    def knobs(self) -> tuple[TaskKnob, ...]:
        return ()

    @override
    def rehearse(self, order: TrialOrder, *, timeout: float = 120.0) -> Rehearsal:
        del order, timeout
        return Rehearsal(metric_names=("val_loss",))


@pytest.mark.parametrize(("device", "indices"), [("cuda", [0, 1]), ("cuda:1", [1]), ("cpu", [])])
def test_machine_of_a_study_has_the_accelerators_that_it_trains_on(
    tmp_path: Path, device: str, indices: list[int]
) -> None:
    file = parse_spec(f"{SPEC}device: {device}\n", origin="raced.yaml", folder=tmp_path)
    stage = set_stage(file, launcher=TwoGpus(), jobs=1, folder=tmp_path)
    assert [accelerator.index for accelerator in stage.machine.torch.accelerators] == indices
    lease = stage.pool.acquire()
    assert lease is not None
    assert lease.accelerator == (indices[0] if indices else None)
