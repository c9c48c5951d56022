"""Contestants in this process; ``tests/trial/test_arena.py`` has them as processes."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.data import Dataset, TensorDataset

from autotune.events import Block, Feed, Finished, Outcome, RunBlock, Scalar, Warmed
from autotune.speed.contestant.training import compete
from autotune.training import Task, Trial
from autotune.training.parameters import Parameters
from autotune.training.reporting.phases import Phases
from autotune.training.steps.step_graph import Step
from autotune.training.steps.stepping import Stepper
from tests.training.tasks import NoisyPoints, Points, SteadyPoints
from tests.training.trials import loaded, order


class RaceOverError(BaseException):
    """Stands for the end of the process."""


class Script:
    """Orders one block after the other, and remembers the answers."""

    def __init__(self, orders: Sequence[RunBlock]) -> None:
        self._orders = list(orders)
        self.warmed: Warmed | None = None
        self.blocks: list[Block] = []

    def next_block(self) -> RunBlock:
        if not self._orders:
            raise RaceOverError
        return self._orders.pop(0)

    def send(self, event: Warmed | Block) -> None:
        if isinstance(event, Warmed):
            self.warmed = event
        else:
            self.blocks.append(event)


def steps(number: int, *, feed: Feed = "real") -> RunBlock:
    return RunBlock(seconds=0.0, min_steps=number, feed=feed)


def race(
    task: Task | Callable[[Trial], None],
    folder: Path,
    *orders: RunBlock,
    seed: int = 7,
    **parameters: Scalar,
) -> tuple[Script, Finished | None]:
    """What was answered, and why it ended too soon, if it did."""
    script = Script(orders)
    trial_order = order(folder, {"batch_size": 8, **parameters}, seed=seed)
    try:
        return script, compete(trial_order, task=loaded(task), orders=script)
    except RaceOverError:
        return script, None


def test_blocks_follow_the_warm_up(tmp_path: Path) -> None:
    script, finished = race(Points(), tmp_path, steps(4), steps(3))
    assert finished is None
    assert script.warmed is not None
    assert script.warmed.steps_per_epoch == 6
    assert script.warmed.in_force["num_workers"] == 0
    assert [block.steps for block in script.blocks] == [4, 3]
    assert script.blocks[1].first_step == script.blocks[0].first_step + 4


@pytest.mark.usefixtures("own_time")
def test_block_lasts_as_long_as_was_asked_for(tmp_path: Path) -> None:
    script, _ = race(Points(), tmp_path, RunBlock(seconds=0.001, min_steps=1))
    (block,) = script.blocks
    assert block.seconds >= 0.001
    assert block.steps == len(block.losses) > 1
    assert block.optimizer_seconds is not None
    parts = block.data_wait_seconds, block.copy_seconds, block.compute_seconds, block.optimizer_seconds
    assert min(parts[0], *parts[2:]) > 0
    assert sum(parts) <= block.seconds


def test_every_step_of_a_block_waits_for_a_device_that_is_far_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_ended = 0

    def end_step(self: Phases) -> None:
        nonlocal num_ended
        del self
        num_ended += 1

    monkeypatch.setattr(Phases, "end_step", end_step)
    script, _ = race(Points(), tmp_path, steps(9))
    assert num_ended >= script.blocks[0].steps == 9


def test_contestant_writes_no_file_and_evaluates_nothing(tmp_path: Path) -> None:
    class Unevaluated(Points):
        def validation_data(self, params: Parameters) -> Dataset[Any]:
            return TensorDataset(torch.full((4, 4), math.nan), torch.zeros(4, dtype=torch.int64))

        def metrics(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
            raise AssertionError("evaluated")

    script, finished = race(Unevaluated(), tmp_path, steps(40))
    assert finished is None
    assert len(script.blocks) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parameters", [{}, {"num_workers": 2}, {"accumulate": 2}], ids=str)
def test_same_seed_gives_the_same_losses_however_long_the_warm_up_took(
    tmp_path: Path, parameters: dict[str, Scalar]
) -> None:
    class Unsettled(NoisyPoints):
        """Its first steps take longer in every second training."""

        num_trainings = 0

        def model(self, params: Parameters) -> nn.Module:
            self.num_trainings += 1
            self.num_steps = 0
            return super().model(params)

        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            self.num_steps += 1
            if self.num_trainings == 2 and self.num_steps < 9:
                time.sleep(0.004 * (self.num_steps % 2))
            return super().forward(model, batch)

    task = Unsettled()
    first, second, other = (
        race(task, tmp_path, steps(8), steps(12), seed=seed, **parameters)[0].blocks for seed in (7, 7, 8)
    )
    assert [block.losses for block in first] == [block.losses for block in second]
    assert [block.first_step for block in first] == [block.first_step for block in second]
    assert first[0].losses != other[0].losses


def test_losses_of_micro_batches_add_up_to_the_batchs(tmp_path: Path) -> None:
    class Plain(Points):
        def model(self, params: Parameters) -> nn.Module:
            return nn.Linear(4, 2)

    whole, _ = race(Plain(), tmp_path, steps(6))
    parts, _ = race(Plain(), tmp_path, steps(6), accumulate=4)
    assert parts.blocks[0].losses == pytest.approx(whole.blocks[0].losses, rel=1e-5)


BATCH_SECONDS = 0.04


class Slow(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        time.sleep(BATCH_SECONDS / 8)
        return torch.full((4,), float(index)), torch.tensor(index % 2)


class SlowLoading(Points):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Slow()


@pytest.mark.usefixtures("own_time")
def test_slow_loading_in_the_process_shows_as_data_wait(tmp_path: Path) -> None:
    script, _ = race(SlowLoading(), tmp_path, steps(6), steps(6, feed="cached"))
    real, cached = script.blocks
    assert real.data_wait_seconds == pytest.approx(6 * BATCH_SECONDS, rel=0.01)
    assert real.fetch_seconds == pytest.approx(6 * BATCH_SECONDS, rel=0.01)
    assert cached.data_wait_seconds == cached.fetch_seconds == 0.0
    assert cached.seconds < BATCH_SECONDS


def test_slow_loading_in_a_worker_shows_as_data_wait(tmp_path: Path) -> None:
    script, _ = race(SlowLoading(), tmp_path, steps(16), steps(16, feed="cached"), num_workers=1)
    real, cached = script.blocks
    # Three batches may be ready or in work before the block, and as many wherever the machine lets the loop wait.
    assert 4 * BATCH_SECONDS < real.fetch_seconds <= real.data_wait_seconds
    assert cached.data_wait_seconds == cached.fetch_seconds == 0.0


def test_queue_that_filled_during_cached_steps_flatters_no_real_block(tmp_path: Path) -> None:
    class Seen(Points):
        """Remembers which batches it trained, by their first samples."""

        def __init__(self) -> None:
            self.batches: list[float] = []

        def train_data(self, params: Parameters) -> Dataset[Any]:
            inputs = torch.arange(800.0).unsqueeze(1).expand(-1, 4)
            return TensorDataset(inputs, torch.zeros(800, dtype=torch.int64))

        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            self.batches.append(float(batch[0][0, 0]))
            return super().forward(model, batch)

    whole, drained = Seen(), Seen()
    race(whole, tmp_path, steps(40), num_workers=1)
    orders = steps(1), steps(1, feed="cached"), steps(3)
    race(drained, tmp_path, *orders, num_workers=1, prefetch_factor=4)
    order = whole.batches[-40:]  # the warm-up has the same one, and may be of any length
    before, _, after, *_ = drained.batches[-6:]
    # Undrained, the next four batches would come at once.
    assert order.index(after) - order.index(before) == 4 + 1


def test_half_feed_has_half_the_samples_of_the_cached_one(tmp_path: Path) -> None:
    script, _ = race(Points(), tmp_path, steps(4, feed="cached"), steps(4, feed="half"))
    assert [block.samples for block in script.blocks] == [32, 16]


def test_batch_of_three_is_not_halved(tmp_path: Path) -> None:
    script, _ = race(Points(), tmp_path, steps(4, feed="half"), batch_size=3)
    assert script.blocks[0].samples == 12


def test_batch_with_concatenated_targets_is_not_halved(tmp_path: Path) -> None:
    """Its halves would crash the training, and take the setting to beat and the diagnosis with them."""

    def train(trial: Trial) -> None:
        for inputs, targets in trial.watch([(torch.zeros(8, 4), torch.ones(24))] * 5):
            assert 3 * len(inputs) == len(targets)

    script, finished = race(train, tmp_path, steps(2, feed="half"))
    assert finished is None
    assert script.blocks[0].samples == 16


def test_start_of_an_epoch_is_told_apart_from_the_steps(tmp_path: Path) -> None:
    class SlowStart(Points):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            return Late()

    class Late(Dataset[tuple[Tensor, Tensor]]):
        """What a worker takes long for is its first sample."""

        def __init__(self) -> None:
            self.is_new = True

        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            if self.is_new:
                self.is_new = False
                time.sleep(0.5)
            return torch.full((4,), float(index)), torch.tensor(index % 2)

    # 40 steps are five passes, each with a new worker.
    script, _ = race(SlowStart(), tmp_path, steps(40), num_workers=1)
    assert script.warmed is not None
    assert script.warmed.epoch_start_seconds > 0.5
    assert script.blocks[0].seconds < 5 * 0.5
    script, _ = race(SlowStart(), tmp_path, steps(1), num_workers=1, persistent_workers=True)
    assert script.warmed is not None
    assert script.warmed.epoch_start_seconds < 0.5
    assert script.warmed.start_seconds > 0.49


@pytest.mark.usefixtures("own_time")
def test_slow_first_step_is_a_cost_of_the_start(tmp_path: Path) -> None:
    class Compiling(Points):
        def model(self, params: Parameters) -> nn.Module:
            self.num_steps = 0
            return super().model(params)

        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            self.num_steps += 1
            if self.num_steps == 1:
                time.sleep(0.3)
            return super().forward(model, batch)

    script, _ = race(Compiling(), tmp_path, steps(3))
    assert script.warmed is not None
    assert script.warmed.start_seconds > 0.25
    assert script.blocks[0].seconds < 0.3


@pytest.mark.usefixtures("own_time")
def test_steps_after_a_long_compilation_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Recording(Points):
        """Compiles at its first step, and records a CUDA graph at its third."""

        def model(self, params: Parameters) -> nn.Module:
            self.num_steps = 0
            return super().model(params)

        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            self.num_steps += 1
            time.sleep({1: 0.4, 3: 0.3}.get(self.num_steps, 0.0))
            return super().forward(model, batch)

    monkeypatch.setattr("autotune.speed.contestant.settling._MAX_SECONDS", 0.35)  # less than compiling takes
    script, _ = race(Recording(), tmp_path, steps(3))
    assert script.warmed is not None
    assert script.warmed.start_seconds > 0.5


@pytest.mark.usefixtures("fresh_compiler")
def test_half_a_batch_leaves_the_graph_of_whole_ones_as_it_was(tmp_path: Path) -> None:
    graphs: list[str] = []

    def remember(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        shapes = [size for value in inputs if isinstance(value, Tensor) for size in value.shape]
        kind = "any shape" if any(isinstance(size, torch.SymInt) for size in [*shapes, *inputs]) else "one shape"

        def run(*values: Any) -> Any:
            graphs.append(kind)
            return graph(*values)

        return run

    class Compiled(Points):
        def model(self, params: Parameters) -> nn.Module:
            return cast("nn.Module", torch.compile(super().model(params), backend=remember))

    race(Compiled(), tmp_path, steps(2, feed="cached"), steps(2, feed="half"), steps(2, feed="cached"))
    assert len(graphs) > 6
    assert set(graphs) == {"one shape"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(
    "parameters",
    [{}, {"pin_memory": True, "device_prefetch": True}, {"precision": "fp16"}, {"cuda_graph": True}],
)
def test_block_on_a_gpu_is_split_by_what_passed_there(tmp_path: Path, parameters: dict[str, Scalar]) -> None:
    script = Script([steps(20), steps(20, feed="cached"), steps(20, feed="half")])
    on_gpu = order(tmp_path, {"batch_size": 8, **parameters}).model_copy(update={"device": "cuda"})
    with pytest.raises(RaceOverError):
        compete(on_gpu, task=loaded(Points()), orders=script)
    real, cached, half = script.blocks
    assert [cached.data_wait_seconds, cached.copy_seconds] == [0.0, 0.0]
    assert [block.samples for block in (real, cached, half)] == [160, 160, 80]
    for block in script.blocks:
        assert (block.optimizer_seconds is None) == ("cuda_graph" in parameters)  # a step that is one call
        optimizer = block.optimizer_seconds or 0.0
        parts = block.data_wait_seconds, block.copy_seconds, block.compute_seconds, optimizer
        # Events and the host's clock differ by microseconds a block.
        assert 0 < sum(parts) <= block.seconds * 1.01 + 1e-4
        assert len(block.losses) == 20
        assert block.allocator_retries == 0
        assert block.peak_memory_bytes > 0


def assert_recording_is_in_no_block(plain: Script, recorded: Script) -> None:
    """A block of 30 steps comes after a step on a drained queue, and after the three that a recording takes."""
    (before,), (after,) = plain.blocks, recorded.blocks
    assert (before.first_step, after.first_step) == (1, 4)
    assert after.losses[:20] == pytest.approx(before.losses[3:23], rel=1e-3)


class Rerunning:
    """Stands for what records a step on a device: a replay runs the step again."""

    def eager(self, step: Callable[[], Tensor]) -> Tensor:
        return step()

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        loss = torch.zeros(())

        def replay() -> None:
            loss.copy_(step())

        return replay, loss

    def forget(self) -> None:
        """Nothing is kept."""


class RecordingStepper(Stepper):
    """Records steps where there is no CUDA device."""

    def __init__(self, params: Parameters, *, scaler: torch.amp.GradScaler | None, wants_graph: bool) -> None:
        del wants_graph
        super().__init__(params, scaler=scaler, wants_graph=True)

    def whole(self, *args: Any, **options: Any) -> Step:
        return super().whole(*args, **options, recorder=Rerunning)


def test_steps_that_are_recorded_anew_after_the_warm_up_are_in_no_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = race(SteadyPoints(), tmp_path, steps(30), optimizer_impl="fused")
    monkeypatch.setattr("autotune.training.trial_run.Stepper", RecordingStepper)
    recorded, _ = race(SteadyPoints(), tmp_path, steps(30), optimizer_impl="fused")
    assert recorded.warmed is not None
    assert recorded.warmed.in_force["cuda_graph"] is True
    assert_recording_is_in_no_block(plain, recorded)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_steps_that_are_recorded_anew_on_a_gpu_are_in_no_block(tmp_path: Path) -> None:
    scripts = [Script([steps(30)]) for _ in range(2)]
    for script, is_recorded in zip(scripts, (False, True), strict=True):
        parameters: dict[str, Scalar] = {"batch_size": 8, "cuda_graph": is_recorded}
        on_gpu = order(tmp_path, parameters).model_copy(update={"device": "cuda"})
        with pytest.raises(RaceOverError):
            compete(on_gpu, task=loaded(SteadyPoints()), orders=script)
    assert_recording_is_in_no_block(*scripts)


def test_used_up_seconds_end_no_contestant(tmp_path: Path) -> None:
    script = Script([steps(3)])
    limited = order(tmp_path, {"batch_size": 8}).model_copy(update={"resource": "samples", "per_trial": 1})
    with pytest.raises(RaceOverError):
        compete(limited, task=loaded(Points()), orders=script)
    assert len(script.blocks) == 1


def test_training_that_diverges_goes_on(tmp_path: Path) -> None:
    script, finished = race(Points(), tmp_path, steps(30), steps(3), optimizer="sgd", lr=1e30)
    assert finished is None
    assert math.isnan(script.blocks[1].losses[-1])


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (MemoryError(), Outcome.INFEASIBLE, "MemoryError"),
        (KeyError("images"), Outcome.FAILED, "KeyError: 'images'"),
    ],
)
def test_error_ends_a_contestant_as_it_ends_a_trial(
    tmp_path: Path, error: Exception, outcome: Outcome, reason: str
) -> None:
    class Broken(Points):
        def loss(self, outputs: Any, targets: Any) -> Tensor:
            raise error

    script, finished = race(Broken(), tmp_path)
    assert script.warmed is None
    assert finished is not None
    assert (finished.outcome, finished.reason) == (outcome, reason)


def test_own_loop_is_paced_through_watch(tmp_path: Path) -> None:
    script, finished = race(_own_loop, tmp_path, steps(12), steps(5))
    assert finished is None
    assert [block.steps for block in script.blocks] == [12, 5]
    assert script.blocks[0].losses == ()
    assert script.blocks[0].optimizer_seconds is None  # it is somewhere in what it computes
    assert script.blocks[0].compute_seconds > 0


def test_own_loop_that_steps_through_the_trial_has_its_optimizer_told_apart(tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for inputs in trial.watch(_batches()):
            trial.backward(model(inputs).sum())
            trial.step(optimizer)

    script, _ = race(train, tmp_path, steps(5))
    assert script.blocks[0].optimizer_seconds is not None
    assert script.blocks[0].optimizer_seconds > 0


@pytest.mark.usefixtures("own_time")
def test_own_loop_with_one_pass_a_source_is_paced_as_long_as_it_trains(tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        for epoch in range(trial.epochs):
            for inputs in trial.watch(iter(_batches())):
                inputs.square().sum()
            time.sleep(0.1)
            trial.report(epoch + 1, val_loss=1.0)

    script, finished = race(train, tmp_path, steps(15), steps(100))
    assert script.blocks[0].steps == 15
    # A report came in between, and its time is not the block's.
    assert script.blocks[0].seconds < 0.1
    assert finished is not None
    assert finished.outcome is Outcome.FAILED
    assert "got the training's end after 30 steps; train as many epochs as trial.epochs" in str(finished.reason)


def test_own_loop_that_watches_a_loader_of_the_trial_is_told_so_in_a_race_too(tmp_path: Path) -> None:
    """It ended with ValueError: generator already executing."""

    def train(trial: Trial) -> None:
        for _ in trial.watch(trial.loader(TensorDataset(torch.zeros(40, 4)), train=True)):
            pass

    _, finished = race(train, tmp_path)
    assert finished is not None
    assert "trial.watch: batches are measured once, got those of trial.loader" in str(finished.reason)


def test_own_loop_with_two_passes_side_by_side_is_not_raced_with_the_batches_of_one(tmp_path: Path) -> None:
    """From its second step on it trained with the second loader's batches in place of the first one's."""
    seen: list[tuple[float, float]] = []

    def train(trial: Trial) -> None:
        loaders = [trial.loader(TensorDataset(torch.full((40, 4), each)), train=True) for each in (0.0, 1.0)]
        for (first,), (second,) in zip(*loaders, strict=True):
            seen.append((float(first[0, 0]), float(second[0, 0])))

    _, finished = race(train, tmp_path, steps(4))
    assert finished is not None
    assert "a race takes its batches from one pass over the training data, got two side by" in str(finished.reason)
    assert seen == [(0.0, 1.0)]


def test_own_loop_that_watches_nothing_can_not_be_raced(tmp_path: Path) -> None:
    _, finished = race(lambda trial: trial.report(1, val_loss=1.0), tmp_path)
    assert finished is not None
    assert "batches that go through trial.loader or trial.watch, got none" in str(finished.reason)


def _batches() -> list[Tensor]:
    return [torch.ones(4, 4) for _ in range(10)]


def _own_loop(trial: Trial) -> None:
    weight = torch.ones(4, requires_grad=True)
    for _ in range(trial.epochs):
        for inputs in trial.watch(_batches()):
            (inputs @ weight).sum().backward()
    raise AssertionError("the first pass has ended")


def test_a_one_cycle_schedule_of_a_loops_own_does_not_end_a_race(tmp_path: Path) -> None:
    model = nn.Linear(4, 2)
    rates: list[float] = []

    def train(trial: Trial) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5)
        for inputs in trial.watch([torch.ones(2, 4)] * 5):
            model(inputs).sum().backward()
            optimizer.step()
            scheduler.step()
            rates.append(float(scheduler.get_last_lr()[0]))

    script, finished = race(train, tmp_path, steps(40))
    assert finished is None
    assert len(script.blocks) == 1
    assert rates[3] != rates[4] == rates[-1]
    optimizer = torch.optim.SGD(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=1)
    optimizer.step()
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step"):
        scheduler.step()


def test_a_knob_that_a_loop_of_ones_own_never_reads_is_not_in_force(tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        assert trial.params.pin_memory
        for batch in trial.watch([torch.ones(2, 4)] * 5):
            batch.add(1)

    script, _ = race(train, tmp_path, num_workers=2, pin_memory=True, torch_threads=1, decoder="turbo")
    assert script.warmed is not None
    assert script.warmed.in_force["num_workers"] == "unused by the task"
    assert script.warmed.in_force["batch_size"] == "unused by the task"
    assert script.warmed.in_force["torch_threads"] == 1
    assert not {"pin_memory", "decoder"} & script.warmed.in_force.keys()


def without_attention() -> Callable[[Tensor], object]:
    return torch.nn.Linear(4, 4)


def with_layer() -> Callable[[Tensor], object]:
    return torch.nn.TransformerEncoderLayer(4, 2, batch_first=True)


def with_compiled_attention() -> Callable[[Tensor], object]:
    def attend(inputs: Tensor) -> Tensor:
        return scaled_dot_product_attention(inputs, inputs, inputs)

    return torch.compile(attend, backend="eager", fullgraph=True)


@pytest.mark.parametrize(
    ("make", "is_used"), [(without_attention, False), (with_layer, True), (with_compiled_attention, True)]
)
def test_backend_of_attention_is_not_in_force_where_a_step_has_none(
    tmp_path: Path, make: Callable[[], Callable[[Tensor], object]], *, is_used: bool
) -> None:
    """Two or three heats of a race told nothing of a model without attention."""

    def train(trial: Trial) -> None:
        step = make()
        for batch in trial.watch([torch.ones(2, 3, 4)] * 50):
            step(batch)

    script, _ = race(train, tmp_path, sdpa_backend="math")
    assert script.warmed is not None
    assert script.warmed.in_force["sdpa_backend"] == ("math" if is_used else "unused by the task")


def test_profiler_that_a_user_starts_in_a_step_hides_no_attention(tmp_path: Path) -> None:
    """It took the place of ours: torch 2.11 raised an error in the step, and later ones had nothing to tell of it."""

    def train(trial: Trial) -> None:
        for batch in trial.watch([torch.ones(2, 3, 4)] * 50):
            with torch.profiler.profile(acc_events=True):
                scaled_dot_product_attention(batch, batch, batch)

    script, _ = race(train, tmp_path, sdpa_backend="math")
    assert script.warmed is not None
    assert script.warmed.in_force["sdpa_backend"] == "math"


def test_loop_that_is_profiled_by_its_user_is_not_looked_at_for_attention(tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        with torch.profiler.profile(acc_events=True):
            for batch in trial.watch([torch.ones(2, 4)] * 50):
                batch.add(1)

    script, _ = race(train, tmp_path, sdpa_backend="math")
    assert script.warmed is not None
    assert script.warmed.in_force["sdpa_backend"] == "math"


@pytest.mark.parametrize(("reads", "unread"), [(True, set()), (False, {"num_workers", "persistent_workers"})])
def test_workers_that_a_loop_of_ones_own_reads_are_raced_though_it_lets_them_go(
    tmp_path: Path, *, reads: bool, unread: set[str]
) -> None:
    def train(trial: Trial) -> None:
        assert trial.params.batch_size == 8
        assert not reads or trial.params.num_workers
        for batch in trial.watch([torch.ones(2, 4)] * 5):
            batch.add(1)

    script, _ = race(train, tmp_path, num_workers=2, persistent_workers=True)
    assert script.warmed is not None
    assert {name for name, value in script.warmed.in_force.items() if value == "unused by the task"} == unread
