from pathlib import Path

import pytest
import torch

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.tasks.stdlib import Stdlib
from autotune.training.parameters import Parameters
from autotune.training.process.loading import LoadedTask
from tests.tasks.trials import train

SMALL: dict[str, Scalar] = {"lr": 3e-3, "batch_size": 8, "width": 16, "depth": 1, "heads": 2, "torch_threads": 1}


class Few(Stdlib):
    """A little of the text, in which the weights of parts of a batch differ as much as they do in all of it."""

    def setup(self) -> None:
        super().setup()
        self.train_texts, self.validation_texts = self.train_texts[:32], self.validation_texts[:16]


def few() -> LoadedTask:
    return LoadedTask(kind="class", target=Few(), reference="autotune.tasks.stdlib:Stdlib")


@pytest.fixture(scope="module")
def task() -> Stdlib:
    stdlib = Stdlib()
    stdlib.setup()
    return stdlib


def test_no_text_is_both_learned_from_and_measured_on(task: Stdlib) -> None:
    assert len(set(task.train_texts)) == len(task.train_texts)
    assert not set(task.train_texts) & set(task.validation_texts)


def test_batch_is_padded_behind_its_texts_and_every_character_has_the_next_as_its_target(task: Stdlib) -> None:
    data = task.train_data(Parameters({}))
    inputs, targets = task.collate([data[index] for index in range(8)])
    assert inputs.shape == targets.shape
    assert inputs.shape[1] % 16 == 0
    assert int(task.count((inputs, targets))) == sum(len(text) + 1 for text in data.texts[:8])
    for text, before, after in zip(data.texts[:8], inputs, targets, strict=True):
        assert bytes(before[: len(text) + 1].tolist()) == b"\0" + text
        assert bytes(after[: len(text) + 1].tolist()) == text + b"\0"
        assert set(after[len(text) + 1 :].tolist()) <= {-100}


def test_longer_neighbour_in_the_batch_changes_no_text_s_scores(task: Stdlib) -> None:
    data = task.validation_data(Parameters({}))
    shortest, longest = (choose(range(300), key=lambda index: len(data[index])) for choose in (min, max))
    model = task.model(Parameters({"width": 16, "heads": 2})).eval()
    together, alone = (
        model(task.collate([data[index] for index in indices])[0]) for indices in ([shortest, longest], [shortest])
    )
    length = len(data[shortest]) - 1
    torch.testing.assert_close(together[0, :length], alone[0, :length])


def test_loss_of_a_batch_is_the_mean_over_its_characters(task: Stdlib) -> None:
    data = task.validation_data(Parameters({}))
    model = task.model(Parameters({"width": 16, "heads": 2})).eval()
    losses, counts = [], []
    for samples in ([data[0]], [data[1]], [data[0], data[1]]):
        batch = task.collate(samples)
        losses.append(task.loss(*task.forward(model, batch)).detach())
        counts.append(task.count(batch))
    one, other, both = losses
    assert float(both) == pytest.approx(float((one * counts[0] + other * counts[1]) / counts[2]), rel=1e-5)


@pytest.mark.parametrize(
    ("knobs", "rel"),
    [
        ({"cache": "memory"}, 0),
        ({"num_workers": 1}, 0),
        ({"validation_batch_size": 3}, 1e-5),
        ({"accumulate": 4}, 1e-4),
        ({"sdpa_backend": "math"}, 1e-4),
        ({"sdpa_backend": "flash"}, 1e-4),
        ({"optimizer_impl": "fused"}, 1e-4),
        ({"precision": "bf16"}, 0.02),
    ],
    ids=str,
)
def test_speed_parameters_train_the_same_model(tmp_path: Path, knobs: dict[str, Scalar], rel: float) -> None:
    (plain,) = train(few(), tmp_path / "plain", epochs=1, **SMALL)
    (other,) = train(few(), tmp_path / "other", epochs=1, **SMALL, **knobs)
    assert other.metrics["train_loss"] == pytest.approx(plain.metrics["train_loss"], rel=rel, abs=0)
    assert other.metrics["val_loss"] == pytest.approx(plain.metrics["val_loss"], rel=rel, abs=0)


def test_characters_are_learned_better_than_their_frequencies_tell(tmp_path: Path, task: Stdlib) -> None:
    frequencies = torch.bincount(torch.tensor(list(b"\0".join(task.validation_texts)))).double()
    shares = frequencies[frequencies > 0] / frequencies.sum()
    loaded = LoadedTask(kind="class", target=task, reference="autotune.tasks.stdlib:Stdlib", _is_set_up=True)
    *_, last = train(loaded, tmp_path, epochs=2, **SMALL | {"lr": 1e-2, "width": 32})
    assert last.metrics["val_bits_per_character"] < float(-(shares * shares.log2()).sum())
    assert last.metrics["val_perplexity"] == pytest.approx(2 ** last.metrics["val_bits_per_character"])


def test_python_without_its_source_is_told_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotune.tasks.stdlib.FOLDER", tmp_path)
    with pytest.raises(TaskError, match="needs Python's modules as source, got 0 texts of 1500"):
        few().setup()
