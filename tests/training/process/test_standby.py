"""A process that was started before its trial's turn trains as any other, and sets up only what it may."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from autotune.events import Outcome, Scalar
from autotune.training import Task
from autotune.training.parameters import Parameters
from autotune.training.process.run import run_trial
from autotune.training.trial import Trial
from tests.training.tasks import DrawnPoints, NoisyPoints, Points
from tests.training.trials import Recorder, Trained, is_same_weights, loaded, order, train

ADAM: Mapping[str, Scalar] = {"optimizer": "adam", "lr": 0.01, "batch_size": 8}
WORKERS: Mapping[str, Scalar] = {**ADAM, "num_workers": 2}
CACHED: Mapping[str, Scalar] = {**ADAM, "cache": "memory"}


@dataclass
class Turn:
    """The coordinator's side: says what the trial has become when its turn comes."""

    parameters: Mapping[str, Scalar]
    on_wait: Callable[[], None] = lambda: None
    asked: list[tuple[str, ...] | None] = field(default_factory=list)
    events_before: int | None = None
    channel: Recorder = field(default_factory=Recorder)

    def __call__(self, asked: tuple[str, ...] | None) -> Mapping[str, Scalar]:
        self.asked.append(asked)
        self.events_before = len(self.channel.events)
        self.on_wait()
        return self.parameters


def train_ahead(
    task: Task | Callable[[Trial], None],
    folder: Path,
    foreseen: Mapping[str, Scalar],
    *,
    turn: Turn | None = None,
    device: str = "cpu",
) -> Trained:
    turn = turn or Turn(foreseen)
    wanted = order(folder, foreseen).model_copy(update={"device": device})
    finished = run_trial(wanted, task=loaded(task), channel=turn.channel, await_turn=turn)
    return Trained(finished, turn.channel, folder)


@pytest.mark.parametrize("parameters", [ADAM, WORKERS, {**WORKERS, "persistent_workers": True}, CACHED])
def test_training_is_the_same_to_the_last_bit(tmp_path: Path, parameters: Mapping[str, Scalar]) -> None:
    task = DrawnPoints() if parameters is CACHED else NoisyPoints()
    ahead = train_ahead(task, tmp_path / "ahead", parameters)
    in_its_turn = train(task, tmp_path / "turn", parameters)
    assert ahead.finished.outcome is Outcome.COMPLETE
    assert ahead.metrics == in_its_turn.metrics
    assert is_same_weights(ahead, in_its_turn)


@pytest.mark.parametrize("foreseen", [ADAM, WORKERS])
def test_training_has_the_parameters_of_its_turn(tmp_path: Path, foreseen: Mapping[str, Scalar]) -> None:
    """The sampler has learned from the trial that ended meanwhile."""
    wanted = {**foreseen, "lr": 0.2, "optimizer": "sgd", "momentum": 0.5, "width": 4}
    ahead = train_ahead(NoisyPoints(), tmp_path / "ahead", foreseen, turn=Turn(wanted))
    in_its_turn = train(NoisyPoints(), tmp_path / "turn", wanted)
    assert ahead.metrics == in_its_turn.metrics
    assert is_same_weights(ahead, in_its_turn)
    assert ahead.finished.unread_parameters == in_its_turn.finished.unread_parameters == ()


class Watched(DrawnPoints):
    """Which remembers a weight of each model as it was made."""

    def __init__(self) -> None:
        self.weights: list[float] = []

    def model(self, params: Parameters) -> nn.Module:
        model = super().model(params)
        self.weights.append(float(next(model.parameters()).detach().sum()))
        return model


def test_first_weights_depend_on_the_seed_alone_whatever_is_drawn_for_the_data(tmp_path: Path) -> None:
    """The data is made first, so that it can be there before the trial's turn."""
    task = Watched()
    trained = [train(task, tmp_path / str(copies), {**ADAM, "copies": copies}) for copies in (1, 2, 2)]
    trained.append(train_ahead(task, tmp_path / "ahead", {**ADAM, "copies": 2}))
    assert len(set(task.weights)) == 1
    one, *two = [each.metrics for each in trained]
    assert one != two[0]
    assert two[0] == two[1] == two[2]


def test_it_waits_once_its_workers_run_and_has_told_nothing(tmp_path: Path) -> None:
    begun: list[int] = []

    def count_workers() -> None:
        begun.append(len(torch.multiprocessing.active_children()))
        assert not (tmp_path / "trial").exists()

    turn = Turn(WORKERS, on_wait=count_workers)
    trained = train_ahead(Points(), tmp_path / "trial", WORKERS, turn=turn)
    assert begun == [2]
    assert turn.events_before == 0
    assert trained.started.in_force["num_workers"] == 2


class Counted(Dataset[tuple[Tensor, Tensor]]):
    """Which counts how often a sample was fetched."""

    num_fetched = 0

    def __len__(self) -> int:
        return 42

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.num_fetched += 1
        return torch.full((4,), float(index)), torch.tensor(index % 2)


def test_it_waits_once_its_cache_is_filled(tmp_path: Path) -> None:
    data, fetched = Counted(), list[int]()

    class Counting(Points):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            return data

    turn = Turn(CACHED, on_wait=lambda: fetched.append(data.num_fetched))
    trained = train_ahead(Counting(), tmp_path, CACHED, turn=turn)
    assert trained.finished.outcome is Outcome.COMPLETE
    assert fetched[0] >= 42
    assert data.num_fetched == fetched[0]


class Cropped(Points):
    """Whose data depends on parameters, one of which is absent."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        assert params.get("crop", 0) + params.get("scale", 1) == 3
        return super().train_data(params)


class Listing(Points):
    """Whose data depends on whatever parameters there are."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        assert dict(params)
        return super().train_data(params)


def test_it_tells_on_which_parameters_depends_what_it_has_set_up(tmp_path: Path) -> None:
    turn = Turn({**ADAM, "crop": 2})
    train_ahead(Cropped(), tmp_path, {**ADAM, "crop": 2}, turn=turn)
    (asked,) = turn.asked
    assert asked is not None
    assert {"crop", "scale", "batch_size", "num_workers", "torch_threads", "precision"} <= {*asked}
    assert not {"lr", "optimizer", "width"} & {*asked}


def test_data_that_lists_the_parameters_depends_on_all(tmp_path: Path) -> None:
    turn = Turn(ADAM)
    train_ahead(Listing(), tmp_path, ADAM, turn=turn)
    assert turn.asked == [None]


def test_own_loop_is_not_begun_before_its_turn(tmp_path: Path) -> None:
    """It may do anything: write files, take memory, train."""
    began: list[str] = []

    def loop(trial: Trial) -> None:
        began.append(f"lr {trial.params.lr}")
        trial.report(1, val_loss=1.0)

    turn = Turn({"lr": 0.2}, on_wait=lambda: began.append("turn"))
    trained = train_ahead(loop, tmp_path, {"lr": 0.1}, turn=turn)
    assert began == ["turn", "lr 0.2"]
    assert trained.finished.outcome is Outcome.COMPLETE


def test_gpu_is_left_alone_before_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes some hundred MB of it, which the trial that trains there may need."""

    happened: list[str] = []

    def start_cuda() -> None:
        happened.append("CUDA")
        raise AssertionError("CUDA is started")

    monkeypatch.setattr("torch.cuda._lazy_init", start_cuda)
    turn = Turn(WORKERS, on_wait=lambda: happened.append("turn"))
    trained = train_ahead(Points(), tmp_path, WORKERS, turn=turn, device="cuda:0")
    assert happened[0] == "turn"
    if not torch.cuda.is_available():
        assert happened == ["turn", "CUDA"]
        assert trained.finished.outcome is Outcome.FAILED
        assert "device: cuda:0 is not there for this trial" in str(trained.finished.reason)


class Broken(Points):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        raise ValueError("no such picture")


def test_data_that_can_not_be_made_ends_it_before_its_turn(tmp_path: Path) -> None:
    turn = Turn(ADAM)
    trained = train_ahead(Broken(), tmp_path, ADAM, turn=turn)
    assert turn.asked == []
    assert trained.finished.reason == "ValueError: no such picture"


class Clock(SimpleNamespace):
    """Time as meter and loader see it: goes on by itself, and by what is added."""

    ahead = 0.0

    def perf_counter(self) -> float:
        return time.perf_counter() + self.ahead


@pytest.mark.parametrize("num_workers", [0, 1])
def test_seconds_of_the_first_batch_count_and_those_of_waiting_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    """Objectives in seconds compare trials that were started ahead with those that were not."""
    clock = Clock()
    monkeypatch.setattr("autotune.training.reporting.meter.time", clock)
    monkeypatch.setattr("autotune.training.data.loader.time", clock)

    @contextmanager
    def slowly() -> Iterator[None]:
        clock.ahead += 100.0
        yield

    monkeypatch.setattr("autotune.training.data.loader._quiet_start", slowly)  # around each start of workers

    def wait() -> None:
        clock.ahead += 10_000.0

    parameters = {**ADAM, "num_workers": num_workers}
    trained = train_ahead(Points(), tmp_path, parameters, turn=Turn(parameters, on_wait=wait))
    first, second = trained.reports[:2]
    assert first.trained_seconds is not None
    assert second.trained_seconds is not None
    assert 100 <= first.seconds < 200
    assert first.data_wait_share > 0.9
    # An evaluation begins a pass, too.
    assert 200 <= first.trained_seconds < 300
    assert 400 <= second.trained_seconds < 500
    assert 100 <= second.seconds < 200


def test_pass_that_began_ahead_is_left_where_a_checkpoint_goes_on_elsewhere(tmp_path: Path) -> None:
    whole = train(NoisyPoints(), tmp_path / "whole", WORKERS)
    for stop_after in (2, 7):  # inside the first epoch, and inside the second
        folder = tmp_path / str(stop_after)
        train(NoisyPoints(), folder, WORKERS, channel=Recorder(stop_after=stop_after))
        resumed = train_ahead(NoisyPoints(), folder, WORKERS)
        assert resumed.finished.outcome is Outcome.COMPLETE
        assert is_same_weights(resumed, whole)
