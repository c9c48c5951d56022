"""A step that is recorded and replayed, by a recorder that runs it again on the tensors that it was recorded with.

What only CUDA graphs can show stands in ``test_step_graph_on_gpu.py``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from autotune.events import Scalar
from autotune.spec.optimizers import OPTIMIZERS
from autotune.training.batches import Batch
from autotune.training.failures import InfeasibleError
from autotune.training.parameters import Parameters
from autotune.training.steps.host_state import HostState
from autotune.training.steps.optimizers import make_optimizer
from autotune.training.steps.pacing import Source
from autotune.training.steps.settings import is_recordable, make_recordable
from autotune.training.steps.stepping import Stepper
from tests.training.steps.rerun import ADAM, Net, Rerun, Training, batch_of, train_both


def test_a_recorded_step_trains_on_every_batch_as_a_plain_one_does() -> None:
    plain, recorded = Training(), Training()
    for number, size in enumerate([4, 4, 4, 3, 4, 4, 4, 3, 4, 3]):
        expected = plain.plain(batch_of(size, number=number))
        assert torch.equal(recorded.step(batch_of(size, number=number)), expected)
    assert torch.equal(recorded.net.layer.weight, plain.net.layer.weight)
    assert (recorded.recorder.num_eager, recorded.recorder.num_recorded) == (4, 2)
    assert recorded.recorder.num_replayed == 6


def test_a_step_tells_until_it_is_replayed_that_it_will_get_faster() -> None:
    training = Training()
    told = []
    for _ in range(4):
        told.append(training.step.will_record)
        training.step(batch_of(4))
    assert told == [True, True, True, False]
    assert not training.step.will_record
    training.optimizer.load_state_dict(training.optimizer.state_dict())
    assert training.step.will_record


def test_a_loaded_state_of_the_optimizer_is_the_one_that_is_trained_on() -> None:
    plain, recorded = Training(), Training()
    for training, step in ((plain, plain.plain), (recorded, recorded.step)):
        start = training.optimizer.state_dict()
        for number in range(5):
            step(batch_of(4, number=number))
        training.optimizer.load_state_dict(start)
        for number in range(5):
            step(batch_of(4, number=number))
    assert torch.equal(recorded.net.layer.weight, plain.net.layer.weight)
    assert recorded.recorder.num_recorded == 2
    assert recorded.recorder.num_forgotten == 2  # at the first step, and when the state was loaded


def test_a_learning_rate_that_is_set_later_holds_for_a_recorded_step() -> None:
    plain, recorded = Training(), Training()
    make_recordable(recorded.optimizer)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(t.optimizer, 0.5) for t in (plain, recorded)]
    for number in range(6):
        plain.plain(batch_of(4, number=number))
        recorded.step(batch_of(4, number=number))
        for schedule in schedules:
            schedule.step()
    held = recorded.optimizer.param_groups[0]["lr"]
    assert isinstance(held, Tensor)
    assert float(held) == 0.125 * 0.5**6
    torch.testing.assert_close(recorded.net.layer.weight, plain.net.layer.weight)


def set_all(optimizer: Optimizer, **values: Any) -> None:
    for group in optimizer.param_groups:
        group.update(values)


RATES: dict[str, Callable[[Optimizer, int], None]] = {
    "a number": lambda optimizer, number: set_all(optimizer, lr=0.125 / (number + 1)),
    "a tensor": lambda optimizer, number: set_all(optimizer, lr=torch.tensor(0.125 / (number + 1))),
    "a product": lambda optimizer, _: set_all(optimizer, lr=optimizer.param_groups[0]["lr"] * 0.5),
}


@pytest.mark.parametrize("parameters", [None, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("act", RATES.values(), ids=RATES)
def test_a_learning_rate_that_a_loop_sets_by_hand_holds_for_a_recorded_step(
    act: Callable[[Optimizer, int], None], parameters: Mapping[str, Scalar] | None
) -> None:
    recorded = train_both(act, parameters=parameters, num_steps=10)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (2, [])


@pytest.mark.parametrize(
    ("parameters", "values"),
    [(None, {"weight_decay": 0.5}), (None, {"momentum": 0.0}), (ADAM, {"betas": (0.5, 0.9), "lr": 1.0})],
    ids=["weight decay", "momentum", "betas and lr"],
)
def test_a_setting_of_the_optimizer_that_changed_is_recorded_anew(
    parameters: Mapping[str, Scalar] | None, values: dict[str, Any]
) -> None:
    def act(optimizer: Optimizer, number: int) -> None:
        if number >= 5:  # what is set again to what it is changes nothing
            set_all(optimizer, **values)

    recorded = train_both(act, parameters=parameters, num_steps=12)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (4, [])  # two shapes, twice


def test_a_setting_that_changes_seldom_is_recorded_anew_each_time() -> None:
    recorded = train_both(lambda optimizer, number: set_all(optimizer, weight_decay=0.1 * (number // 25)), num_steps=85)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (8, [])


@pytest.mark.parametrize(("parameters", "name"), [(None, "momentum"), (ADAM, "betas")], ids=["sgd", "adam"])
def test_a_momentum_that_is_scheduled_is_trained_with_kernel_by_kernel(
    parameters: Mapping[str, Scalar] | None, name: str
) -> None:
    """OneCycleLR sets it at each step, unless it is told not to."""
    schedules: dict[Optimizer, torch.optim.lr_scheduler.OneCycleLR] = {}

    def act(optimizer: Optimizer, number: int) -> None:
        if number == 0:
            schedules[optimizer] = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=20)
        else:
            schedules[optimizer].step()

    recorded = train_both(act, parameters=parameters, num_steps=12)
    assert recorded.recorder.num_recorded == 0
    [reason] = recorded.refusals
    assert reason == (
        f"cuda_graph: the optimizer's settings beside lr must stay for 20 steps, got another {name} after 1 "
        "(a schedule with cycle_momentum=False keeps it); leave it off"
    )
    assert not recorded.step.will_record


def test_a_setting_that_begins_to_change_at_each_step_ends_what_was_recorded() -> None:
    def act(optimizer: Optimizer, number: int) -> None:
        if number > 6:
            set_all(optimizer, weight_decay=0.01 * number)

    recorded = train_both(act, num_steps=12)
    assert len(recorded.refusals) == 1
    assert recorded.recorder.num_eager + recorded.recorder.num_replayed == 12


def test_parameters_that_are_added_are_trained_too() -> None:
    def act(optimizer: Optimizer, number: int) -> None:
        if number == 5:
            [group] = optimizer.param_groups
            added = group["params"].pop()
            optimizer.add_param_group({"params": [added], "lr": 0.5})

    recorded = train_both(act, num_steps=12)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (4, [])


def test_schedule_of_the_learning_rate_alone_is_recorded_once() -> None:
    schedules: dict[Optimizer, torch.optim.lr_scheduler.OneCycleLR] = {}

    def act(optimizer: Optimizer, number: int) -> None:
        if number == 0:
            schedules[optimizer] = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=0.5, total_steps=20, cycle_momentum=False
            )
        else:
            schedules[optimizer].step()

    recorded = train_both(act, num_steps=12)
    assert (recorded.recorder.num_recorded, recorded.refusals) == (2, [])


@pytest.mark.parametrize(
    ("change", "rule"),
    [("counts", "change nothing on the host, got another Net.num_calls"), ("draws", "random numbers on the device")],
)
def test_a_step_that_is_another_one_each_time_is_never_recorded(change: str, rule: str) -> None:
    training = Training()
    setattr(training.net, change, True)
    for _ in range(4):
        assert float(training.step(batch_of(4))) > 0
        assert training.step.will_record is not bool(training.refusals)
    assert training.recorder.num_recorded == 0
    assert training.recorder.num_eager == 4
    [reason] = training.refusals
    assert reason.startswith("cuda_graph: ")
    assert rule in reason


def test_what_a_loss_function_was_bound_to_is_looked_at_too() -> None:
    weight = 1.0

    def loss(batch: Batch) -> Tensor:
        return torch.zeros(()) * weight + batch  # type: ignore[no-any-return]

    host = HostState(Net(), loss)
    before = host.read()
    weight = 2.0
    assert {name for name, value in host.read().items() if before[name] != value} == {"weight"}


def test_a_name_to_which_nothing_is_bound_yet_is_no_state() -> None:
    def loss(batch: Batch) -> Tensor:
        return torch.zeros(()) * later + batch  # type: ignore[no-any-return]

    host = HostState(Net(), loss)
    assert "later" not in host.read()
    later = 1.0
    assert "later" in host.read()


def test_attributes_that_change_between_epochs_are_recorded_anew() -> None:
    training = Training()
    for _ in range(4):
        training.step(batch_of(4))
    training.step.look_again()
    training.step(batch_of(4))
    assert training.recorder.num_recorded == 1
    training.net.scale = 2.0
    training.step.look_again()
    for _ in range(3):
        training.step(batch_of(4))
    assert training.recorder.num_recorded == 2


def test_what_can_not_be_recorded_is_infeasible_and_says_why() -> None:
    training = Training(recorder=Rerun(error=RuntimeError("operation not permitted when stream is capturing")))
    training.step(batch_of(4))
    training.step(batch_of(4))
    with pytest.raises(InfeasibleError, match=r"^cuda_graph: .* got RuntimeError: operation not permitted"):
        training.step(batch_of(4))


def test_memory_that_runs_out_while_recording_stays_what_it_is() -> None:
    training = Training(recorder=Rerun(error=torch.OutOfMemoryError("CUDA out of memory")))
    training.step(batch_of(4))
    training.step(batch_of(4))
    with pytest.raises(torch.OutOfMemoryError):
        training.step(batch_of(4))


def test_memory_of_a_library_that_runs_out_while_recording_stays_what_it_is() -> None:
    training = Training(recorder=Rerun(error=RuntimeError("CUDA error: out of memory")))
    training.step(batch_of(4))
    training.step(batch_of(4))
    with pytest.raises(RuntimeError, match=r"^CUDA error: out of memory"):
        training.step(batch_of(4))


class EndsBadly(Rerun):
    """As ``torch.cuda.graph``, which ends a recording that broke off, and raises what it hears then."""

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        try:
            raise RuntimeError("CUDA error: out of memory")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")


def test_memory_that_runs_out_is_found_behind_the_end_of_a_recording() -> None:
    training = Training(recorder=EndsBadly())
    training.step(batch_of(4))
    training.step(batch_of(4))
    with pytest.raises(RuntimeError, match=r"^CUDA error: out of memory"):
        training.step(batch_of(4))


def test_batches_with_a_tensor_of_another_device_are_trained_on_step_by_step() -> None:
    """The host may read one of its own without a wait, and a graph would have what it then said."""
    training = Training()
    for _ in range(5):
        training.step((*batch_of(4), torch.ones(4, device="meta")))
    assert (training.recorder.num_recorded, training.refusals) == (0, [])


def test_batches_of_the_same_tensors_in_another_nesting_are_no_replay() -> None:
    training = Training()
    for _ in range(4):
        training.step(batch_of(4))
    training.step((*batch_of(4), "a label"))
    training.step([*batch_of(4)])
    assert (training.recorder.num_eager, training.recorder.num_replayed) == (4, 2)


def test_batches_that_hold_more_than_tensors_are_trained_on_step_by_step() -> None:
    training = Training()
    for _ in range(5):
        training.step((*batch_of(4), "a label"))
        assert not training.step.will_record
    assert training.recorder.num_recorded == 0


def test_only_so_many_shapes_are_recorded() -> None:
    training = Training()
    for size in range(2, 14):
        for _ in range(4):
            training.step(batch_of(size))
    assert training.recorder.num_recorded == 8
    assert not training.step.will_record


class OfTheUser(torch.optim.Adam):
    pass


class OwnSGD(torch.optim.SGD):
    """May count on the host, as Lookahead does."""


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_whose_steps_are_the_same_on_the_host_are_recordable(name: str) -> None:
    optimizer = make_optimizer(Net(), Parameters({"optimizer": name}), is_recorded=True)
    never = {"adagrad", "adafactor", "sparse_adam", "muon"}  # they count on the host, or take no tensor for lr
    assert is_recordable(optimizer) is (name not in never)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: torch.optim.SGD(net.parameters(), foreach=True),
        lambda net: torch.optim.RMSprop(net.parameters(), foreach=False),
        lambda net: torch.optim.Adadelta(net.parameters(), foreach=False),
        lambda net: OfTheUser(net.parameters()),
        lambda net: OwnSGD(net.parameters(), fused=True),
    ],
    ids=["SGD over lists of tensors", "RMSprop step by step", "Adadelta step by step", "a user's", "a user's SGD"],
)
def test_optimizers_that_may_do_something_on_the_host_are_not_recordable(make: Callable[[Any], Optimizer]) -> None:
    assert not is_recordable(make(Net()))


class Watching:
    """A race's pacer that writes down what it is told."""

    is_asking = False

    def __init__(self) -> None:
        self.told: list[str] = []

    def pace(self, source: Source) -> Iterator[Batch]:
        return iter(source.batches)

    def see_loss(self, loss: Tensor) -> None:
        self.told.append(f"loss of {loss.ndim} dimensions")

    def begin_optimizer(self) -> None:
        self.told.append("optimizer begins")

    def end_optimizer(self) -> None:
        self.told.append("optimizer ends")

    def end_whole(self) -> None:
        self.told.append("step ends")


def test_a_race_hears_of_a_recorded_step_as_a_whole_and_of_no_optimizer_in_it() -> None:
    """Its optimizer was told as begun and ended behind the step, so that it took no time of it."""
    training = Training()
    stepper = Stepper(Parameters({}), scaler=None, wants_graph=True)
    stepper.pacer = watching = Watching()

    def gradient(batch: Batch) -> Tensor:
        loss = training.loss(batch)
        stepper.backward(loss)
        return loss.detach()

    host = HostState(training.net, training.loss)
    step = stepper.whole(gradient, training.optimizer, host=host, on_refusal=print, recorder=lambda: training.recorder)
    for number in range(4):
        watching.told.clear()
        step(batch_of(4, number=number))
        assert watching.told == ["loss of 0 dimensions", "step ends"]
