from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from autotune.events import EpochReport, Outcome, Progress, Scalar, Started
from autotune.spec.learning import SCHEDULES
from autotune.spec.load import load_spec
from autotune.spec.model import Parameter
from autotune.spec.optimizers import OPTIMIZERS
from autotune.training.trial import Trial
from tests.training.tasks import Noisy, NoisyPoints, Points, WeightedPoints, points
from tests.training.trials import (
    PRUNED,
    Ends,
    KilledError,
    Recorder,
    Trained,
    is_report_of_epoch_2,
    is_same_weights,
    train,
)

# 42 samples in batches of 8: six steps an epoch, the last of two samples.
BASE: dict[str, Scalar] = {"batch_size": 8, "lr": 0.05, "schedule": "one_cycle", "warmup": 0.1}
ARGUMENTS: dict[str, dict[str, Scalar]] = {
    "sgd": {"momentum": 0.9, "nesterov": True},
    "adam": {"amsgrad": True},
    "adamw": {"weight_decay": 0.1, "gradient_clip": 0.5},
    "rmsprop": {"momentum": 0.5, "centered": True},
    "adagrad": {"lr_decay": 0.01},
    "adadelta": {"lr": 1.0},
    "asgd": {"t0": 5},
    "nadam": {"decoupled_weight_decay": True, "weight_decay": 0.1},
}
"""What gives an optimizer more state than it has by default."""
NAMES = sorted(OPTIMIZERS.keys() - {"sparse_adam"})
"""All that train dense gradients, so also all that a space of this repository chooses from."""
STOP_AFTER, DIE_AFTER = 12, 9
"""Looks at the channel: six steps an epoch, two batches of validation, two about a report. So the third step of the
second epoch, and from there the third of the third."""


def resume(folder: Path, parameters: dict[str, Scalar], *, stop_after: int) -> Trained:
    first = train(NoisyPoints(), folder, parameters, channel=Recorder(stop_after=stop_after))
    assert first.finished.outcome is Outcome.INTERRUPTED
    return train(NoisyPoints(), folder, parameters)


def disturb(folder: Path, parameters: dict[str, Scalar], *, ends: Ends | None = None) -> Trained:
    """Stopped inside of the second epoch, killed inside of the third, and ended by a third process."""
    stopped = train(NoisyPoints(), folder, parameters, channel=Recorder(stop_after=STOP_AFTER), ends=ends)
    assert [len(stopped.reports), stopped.finished.outcome] == [1, Outcome.INTERRUPTED]
    with pytest.raises(KilledError, match="killed"):
        train(NoisyPoints(), folder, parameters, channel=Recorder(dies_after=DIE_AFTER), ends=ends)
    resumed = train(NoisyPoints(), folder, parameters, ends=ends)
    assert resumed.started.epochs_done == 2
    return resumed


def assert_same(resumed: Trained, whole: Trained) -> None:
    """To the last bit: every loss and metric of every epoch, and the weights at the end."""
    assert resumed.metrics == whole.metrics
    assert [report.step for report in resumed.reports] == [report.step for report in whole.reports]
    assert is_same_weights(resumed, whole)


@pytest.mark.parametrize("name", NAMES)
def test_run_stopped_and_killed_goes_on_as_if_it_had_not_with_every_optimizer(tmp_path: Path, name: str) -> None:
    parameters = BASE | {"optimizer": name} | ARGUMENTS.get(name, {})
    whole = train(NoisyPoints(), tmp_path / "whole", parameters)
    assert_same(disturb(tmp_path / "parts", parameters), whole)


def test_mean_that_is_not_over_samples_goes_on_inside_an_epoch(tmp_path: Path) -> None:
    whole = train(WeightedPoints(), tmp_path / "whole", BASE | {"accumulate": 2})
    stopped = train(WeightedPoints(), tmp_path / "parts", BASE | {"accumulate": 2}, channel=Recorder(stop_after=3))
    assert (stopped.reports, stopped.finished.outcome) == ([], Outcome.INTERRUPTED)
    assert_same(train(WeightedPoints(), tmp_path / "parts", BASE | {"accumulate": 2}), whole)


@pytest.mark.parametrize("path", sorted(Path("search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_optimizer_of_a_space_here_is_among_those_that_are_resumed(path: Path) -> None:
    chosen = load_spec(str(path)).spec.learning["optimizer"]
    assert isinstance(chosen, Parameter)
    assert set(chosen.choices) <= set(NAMES)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_run_with_workers_stopped_and_killed_goes_on_as_if_it_had_not(tmp_path: Path, name: str) -> None:
    parameters = BASE | {"optimizer": name, "num_workers": 2} | ARGUMENTS.get(name, {})
    whole = train(NoisyPoints(), tmp_path / "whole", parameters)
    assert_same(disturb(tmp_path / "parts", parameters), whole)


@pytest.mark.parametrize("warmup", [0.0, 0.5])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_run_stopped_and_killed_goes_on_as_if_it_had_not_with_every_schedule(
    tmp_path: Path, schedule: str, warmup: float
) -> None:
    parameters = BASE | {"schedule": schedule, "warmup": warmup, "schedule_gamma": 0.5, "schedule_step": 0.2}
    whole = train(NoisyPoints(), tmp_path / "whole", parameters)
    assert_same(disturb(tmp_path / "parts", parameters), whole)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_run_measured_in_samples_goes_on_as_if_it_had_not_stopped(tmp_path: Path, schedule: str) -> None:
    parameters = BASE | {"schedule": schedule}
    ends = Ends(resource="samples", per_trial=120)
    whole = train(NoisyPoints(), tmp_path / "whole", parameters, ends=ends)
    assert_same(disturb(tmp_path / "parts", parameters, ends=ends), whole)


@pytest.mark.parametrize("stop_after", range(24))
def test_run_stopped_at_any_look_goes_on_as_if_it_had_not(tmp_path: Path, stop_after: int) -> None:
    whole = train(NoisyPoints(), tmp_path / "whole", BASE)
    resumed = resume(tmp_path / "parts", BASE, stop_after=stop_after)
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


@pytest.mark.parametrize(
    "knobs",
    [
        {"num_workers": 2, "persistent_workers": True},
        {"num_workers": 1, "prefetch_factor": 4},
        {"accumulate": 4},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"optimizer_impl": "fused"},
        {"optimizer_impl": "foreach"},
        {"optimizer": "muon"},
        {"optimizer": "nadam", "schedule": "step"},
    ],
    ids=str,
)
def test_run_with_speed_parameters_goes_on_as_if_it_had_not_stopped(tmp_path: Path, knobs: dict[str, Scalar]) -> None:
    parameters = BASE | knobs
    whole = train(NoisyPoints(), tmp_path / "whole", parameters)
    resumed = resume(tmp_path / "parts", parameters, stop_after=10)
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


def test_run_stopped_again_and_again_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    whole = train(NoisyPoints(), tmp_path / "whole", BASE)
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1] is Outcome.INTERRUPTED:
        part = train(NoisyPoints(), tmp_path / "parts", BASE, channel=Recorder(stop_after=2))
        outcomes.append(part.finished.outcome)
    assert len(outcomes) > 3
    resumed = train(NoisyPoints(), tmp_path / "parts", BASE)
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


def test_report_that_died_with_its_process_is_sent_by_the_next(tmp_path: Path) -> None:
    whole = train(Points(), tmp_path / "whole", BASE)
    with pytest.raises(KilledError, match="killed"):
        train(Points(), tmp_path / "parts", BASE, channel=Recorder(dies=is_report_of_epoch_2))
    resumed = train(Points(), tmp_path / "parts", BASE)
    assert resumed.started.epochs_done == 2  # the checkpoint came before the report
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


def test_process_killed_before_its_first_report_starts_again(tmp_path: Path) -> None:
    whole = train(Points(), tmp_path / "whole", BASE)
    with pytest.raises(KilledError, match="killed"):
        train(Points(), tmp_path / "parts", BASE, channel=Recorder(dies=lambda event: isinstance(event, Progress)))
    resumed = train(Points(), tmp_path / "parts", BASE)
    assert resumed.started.epochs_done == 0
    assert resumed.metrics == whole.metrics


def test_finished_run_that_is_started_again_only_repeats_its_reports(tmp_path: Path) -> None:
    whole = train(Points(), tmp_path, BASE)
    again = train(Points(), tmp_path, BASE)
    assert again.finished.outcome is Outcome.COMPLETE
    assert again.reports == whole.reports
    assert [type(event) for event in again.channel.events] == [Started, EpochReport, EpochReport, EpochReport]


def test_pruned_run_leaves_no_place_inside_its_epoch(tmp_path: Path) -> None:
    pruned = train(Points(), tmp_path, BASE, channel=Recorder(stop=PRUNED, stop_after=2))
    assert pruned.finished.outcome is Outcome.PRUNED
    assert pruned.finished.reason == PRUNED.reason
    assert not (tmp_path / "checkpoint.pt").exists()


def test_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    first, second = (train(NoisyPoints(), tmp_path / name, BASE, seed=1) for name in ("first", "second"))
    other = train(NoisyPoints(), tmp_path / "other", BASE, seed=2)
    assert first.metrics == second.metrics
    assert first.metrics != other.metrics


@pytest.mark.parametrize("num_workers", [1, 2])
def test_order_of_samples_does_not_depend_on_workers(tmp_path: Path, num_workers: int) -> None:
    alone = train(Points(), tmp_path / "alone", BASE)
    with_workers = train(Points(), tmp_path / "workers", BASE | {"num_workers": num_workers})
    assert with_workers.metrics == alone.metrics


def test_augmentation_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    one = train(NoisyPoints(), tmp_path / "one", BASE | {"num_workers": 1})
    two = train(NoisyPoints(), tmp_path / "two", BASE | {"num_workers": 2, "persistent_workers": True})
    assert two.metrics == one.metrics


def own_loop(trial: Trial) -> None:
    """A loop of a user's, with shuffling and augmentation from the global generators."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = DataLoader(Noisy(*points(40, seed=0)), batch_size=8, shuffle=True)
    done = trial.checkpoint.restore(model=model, optimizer=optimizer)
    for epoch in range(done, trial.epochs):
        total = 0.0
        for inputs, labels in trial.watch(loader):
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
        trial.report(epoch + 1, val_loss=total)
        if trial.should_stop():
            break


def test_own_loop_goes_on_from_its_last_epoch_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = train(own_loop, tmp_path / "whole")
    stopped = train(own_loop, tmp_path / "parts", channel=Recorder(stop_after=2))
    assert stopped.finished.outcome is Outcome.INTERRUPTED
    resumed = train(own_loop, tmp_path / "parts")
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


def test_own_loop_killed_inside_an_epoch_repeats_that_epoch(tmp_path: Path) -> None:
    whole = train(own_loop, tmp_path / "whole")
    with pytest.raises(KilledError, match="killed"):
        train(own_loop, tmp_path / "parts", channel=Recorder(dies=is_report_of_epoch_2))
    resumed = train(own_loop, tmp_path / "parts")
    assert resumed.metrics == whole.metrics


def test_resumed_epoch_counts_all_its_samples(tmp_path: Path) -> None:
    resumed = resume(tmp_path, BASE, stop_after=2)
    assert [report.samples for report in resumed.reports] == [42, 42, 42]


class Matrix:
    """The user's own state, which becomes a tensor only for a checkpoint."""

    def __init__(self) -> None:
        self.values = np.zeros((8, 8))

    def state_dict(self) -> dict[str, Tensor]:
        return {"values": torch.from_numpy(self.values.copy())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.values = state["values"].numpy()


def test_objects_whose_states_are_made_for_the_checkpoint_each_get_their_own_back(tmp_path: Path) -> None:
    names = [f"matrix_{number}" for number in range(6)]

    def add(trial: Trial) -> None:
        matrices = {name: Matrix() for name in names}
        done = trial.checkpoint.restore(**matrices)
        for epoch in range(done + 1, trial.epochs + 1):
            for number, matrix in enumerate(matrices.values()):
                matrix.values = matrix.values + number
            trial.report(epoch, val_loss=1.0, **{name: matrix.values.mean() for name, matrix in matrices.items()})
            if trial.should_stop():
                return

    stopped = train(add, tmp_path, channel=Recorder(stop_after=1))
    assert [len(stopped.reports), stopped.finished.outcome] == [1, Outcome.INTERRUPTED]
    resumed = train(add, tmp_path)
    assert [resumed.metrics[-1][name] for name in names] == [0.0, 3.0, 6.0, 9.0, 12.0, 15.0]
