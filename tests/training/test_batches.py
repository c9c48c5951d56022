from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from autotune.training.batches import can_be_cut, count_samples, describe, micro_batches, mover


class Pair(NamedTuple):
    inputs: Tensor
    labels: Tensor


X, Y = torch.arange(12.0).view(6, 2), torch.arange(6)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (X, 6),
        ((X, Y), 6),
        ([X, Y], 6),
        ({"a": X, "b": Y}, 6),
        ({"scale": torch.tensor(2.0), "x": X}, 6),
        (["a"] * 3, 3),
    ],
)
def test_samples_are_counted_by_the_first_tensor_with_a_length(batch: Any, expected: int) -> None:
    assert count_samples(batch) == expected


def test_micro_batches_cut_every_tensor_and_keep_the_shape_of_the_batch() -> None:
    parts = list(micro_batches(Pair(X, Y), size=5))
    assert [len(part.inputs) for part in parts] == [3, 3]
    assert all(isinstance(part, Pair) for part in parts)
    assert torch.equal(torch.cat([part.inputs for part in parts]), X)
    assert torch.equal(torch.cat([part.labels for part in parts]), Y)


@pytest.mark.parametrize(("size", "expected"), [(6, [6]), (5, [3, 3]), (3, [3, 3]), (2, [2, 2, 2]), (1, [1] * 6)])
def test_micro_batches_leave_no_single_sample_over(size: int, expected: list[int]) -> None:
    assert [len(part) for part in micro_batches(X, size=size)] == expected


def test_odd_batch_in_slices_of_two_has_one_of_three() -> None:
    parts = list(micro_batches(X[:5], size=2))
    assert [len(part) for part in parts] == [2, 3]
    assert [len(part) for part in micro_batches(X[:3], size=2)] == [3]
    assert [len(part) for part in micro_batches(X[:1], size=2)] == [1]


def test_micro_batches_cut_texts_and_leave_single_values() -> None:
    batch = {"x": X, "names": list("abcdef"), "scale": torch.tensor(2.0), "kind": "train"}
    first, second = micro_batches(batch, size=3)
    assert [first["names"], second["names"]] == [["a", "b", "c"], ["d", "e", "f"]]
    assert float(first["scale"]) == 2.0
    assert second["kind"] == "train"


def test_batch_that_is_small_enough_stays_whole() -> None:
    (part,) = micro_batches((X, Y), size=6)
    assert part[0] is X


def packed_texts() -> PackedSequence:
    return pack_sequence([torch.arange(float(length)) for length in (2, 5, 1, 3)], enforce_sorted=False)


def test_packed_sequences_are_counted_and_cut_by_sequence_and_not_by_step() -> None:
    batch = (packed_texts(), torch.arange(4))
    assert count_samples(batch) == count_samples(packed_texts()) == 4
    parts = list(micro_batches(batch, size=2))
    assert [[len(text) for text in unpack_sequence(texts)] for texts, _ in parts] == [[2, 5], [1, 3]]
    assert torch.equal(torch.cat([labels for _, labels in parts]), torch.arange(4))


class Graphs:
    """As libraries of graphs and of texts have batches: no tuple, and moved by a method of its own."""

    def __init__(self, nodes: Tensor) -> None:
        self.nodes = nodes

    def to(self, device: torch.device) -> "Graphs":
        return Graphs(self.nodes.to(device))


def test_what_has_a_way_of_its_own_to_a_device_takes_it() -> None:
    move = mover(torch.device("meta"), channels_last=False)
    assert move is not None
    graphs, (texts, labels) = move((Graphs(X), [packed_texts(), Y]))
    assert (graphs.nodes.device.type, texts.data.device.type, labels.device.type) == ("meta", "meta", "meta")
    assert texts.batch_sizes.device.type == "cpu"  # where torch wants it


def test_batch_for_the_cpu_is_not_touched() -> None:
    assert mover(torch.device("cpu"), channels_last=False) is None


def test_channels_last_is_for_pictures_alone() -> None:
    move = mover(torch.device("cpu"), channels_last=True)
    assert move is not None
    pictures, labels = move((torch.zeros(2, 3, 4, 4), Y))
    assert pictures.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(labels, Y)


def test_batch_is_described_by_shapes_and_types() -> None:
    assert describe((X, Y)) == "(6, 2) float32, (6) int64"


def test_batch_can_be_cut_where_every_tensor_has_a_row_for_each_sample() -> None:
    inputs, texts = torch.zeros(3, 2), ["a", "b", "c"]
    packed = pack_sequence([torch.zeros(length, 2) for length in (5, 4, 1)])
    assert can_be_cut({"inputs": inputs, "texts": texts, "scale": torch.tensor(2.0), "packed": packed})
    assert not can_be_cut({"inputs": inputs, "concatenated": [torch.zeros(7)]})
