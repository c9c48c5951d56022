import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autotune.errors import TaskError
from autotune.training.checkpoints.snapshot import Snapshot


@pytest.mark.parametrize(
    "value", [np.float64(1.0), np.zeros(2), {1, 2}, object(), lambda: 0], ids=lambda value: type(value).__name__
)
def test_state_that_could_not_be_read_back_is_refused(value: Any) -> None:
    with pytest.raises(TaskError, match=r"checkpoint: sums\.total\.1: a state holds tensors"):
        Snapshot().take({"total": [0, value]}, "sums")


def test_snapshot_stays_as_it_was_when_the_state_changes() -> None:
    state: dict[str, Any] = {"sums": [torch.zeros(3), (torch.ones(2), 5, None, "a")], "groups": [{"lr": 0.1}]}
    snapshot = Snapshot()
    taken = snapshot.take(state, "state")
    snapshot.seal()()
    state["sums"][0].fill_(7.0)
    state["groups"][0]["lr"] = 0.2
    assert torch.equal(taken["sums"][0], torch.zeros(3))
    assert taken["sums"][1][1:] == (5, None, "a")
    assert taken["groups"] == [{"lr": 0.1}]


def test_snapshot_of_a_model_keeps_the_versions_of_its_modules() -> None:
    state = nn.BatchNorm1d(3).state_dict()
    taken = Snapshot().take(state, "model")
    assert type(taken) is OrderedDict
    assert vars(taken) == vars(state) == {"_metadata": OrderedDict({"": {"version": 2}})}


def test_tied_weights_are_copied_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    taken = Snapshot().take(nn.Sequential(first, second).state_dict(), "model")
    assert taken["0.weight"] is taken["1.weight"]
    assert taken["0.bias"] is not taken["1.bias"]


def test_tensors_that_are_tied_across_objects_are_copied_once() -> None:
    weight = torch.ones(4)
    snapshot = Snapshot()
    assert snapshot.take({"weight": weight}, "encoder")["weight"] is snapshot.take([weight.detach()], "decoder")[0]
    assert snapshot.num_bytes == weight.nbytes


TEMPORARY: dict[str, Callable[[float], torch.Tensor]] = {
    "copies of an array": lambda value: torch.from_numpy(np.full((16, 16), value)),
    "clones": lambda value: torch.full((16, 16), value).clone(),
    "scalars": torch.tensor,
    "transposed": lambda value: torch.full((3, 16), value).t(),
}


@pytest.mark.parametrize("make", TEMPORARY.values(), ids=TEMPORARY)
def test_tensors_made_for_a_state_alone_are_each_copied(make: Callable[[float], torch.Tensor]) -> None:
    """The next state's tensor would have the place in memory of one that is gone, and be taken for it."""
    snapshot = None
    for first in (1.0, 11.0, 21.0):
        snapshot = Snapshot(snapshot)
        values = [first + number for number in range(8)]
        taken = [
            snapshot.take({"matrix": make(value)}, f"object_{number}")["matrix"] for number, value in enumerate(values)
        ]
        snapshot.seal()()
        assert [set(tensor.flatten().tolist()) for tensor in taken] == [{value} for value in values]


def test_snapshot_keeps_nothing_of_what_was_taken_once_it_is_sealed() -> None:
    array = np.ones((16, 16))
    lives = weakref.ref(array)
    snapshot = Snapshot()
    taken = snapshot.take({"matrix": torch.from_numpy(array)}, "sums")
    del array
    assert lives() is not None
    snapshot.seal()
    assert lives() is None
    assert taken["matrix"].sum() == 16 * 16


def test_copy_keeps_the_memory_format() -> None:
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    assert Snapshot().take(weight, "weight").is_contiguous(memory_format=torch.channels_last)


def test_snapshot_is_taken_into_the_memory_of_an_earlier_one_where_it_fits() -> None:
    state = {"same": torch.zeros(4, 3), "longer": torch.zeros(3), "turned": torch.zeros(3, 2)}
    earlier = Snapshot()
    old = earlier.take(state, "state")
    earlier.seal()
    places = {name: tensor.data_ptr() for name, tensor in old.items()}
    state = {"same": torch.ones(4, 3), "longer": torch.ones(5), "turned": torch.ones(2, 3).t(), "new": torch.ones(3)}
    taken = Snapshot(earlier).take(state, "state")
    assert all(torch.equal(taken[name], tensor) for name, tensor in state.items())
    assert [name for name, tensor in taken.items() if tensor.data_ptr() == places.get(name)] == ["same"]
    assert taken["turned"].stride() == (1, 3)


def test_states_of_one_name_do_not_share_the_memory_of_an_earlier_one() -> None:
    """A loop's own object may be called as one of the trial's."""
    earlier = Snapshot()
    for value in (1.0, 2.0):
        earlier.take({"total": torch.tensor(value)}, "meter")
    snapshot = Snapshot(earlier)
    taken = [snapshot.take({"total": torch.tensor(value)}, "meter")["total"] for value in (3.0, 4.0)]
    assert [tensor.item() for tensor in taken] == [3.0, 4.0]


def test_snapshot_after_one_in_inference_mode_is_a_plain_one() -> None:
    earlier = Snapshot()
    with torch.inference_mode():
        earlier.take({"total": torch.zeros(2)}, "sums")
    taken = Snapshot(earlier).take({"total": torch.ones(2)}, "sums")
    assert torch.equal(taken["total"], torch.ones(2))
    assert not taken["total"].is_inference()


def test_sparse_tensor_is_copied() -> None:
    sparse = torch.eye(3).to_sparse()
    assert torch.equal(Snapshot().take(sparse, "sparse").to_dense(), torch.eye(3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_copy_from_the_device_is_what_it_held_at_that_moment() -> None:
    tensor = torch.ones(2**24, device="cuda")
    snapshot = Snapshot()
    taken = snapshot.take({"tensor": tensor}, "state")
    tensor.zero_()
    arrive = snapshot.seal()
    arrive()
    assert taken["tensor"].is_pinned()
    assert bool((taken["tensor"] == 1).all())
