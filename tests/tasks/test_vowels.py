from pathlib import Path

import pytest
import torch

from autotune.events import Scalar
from autotune.tasks.vowels import WORDS, Utterances, Vowels, resonate
from autotune.training.data.cache import is_same
from autotune.training.parameters import Parameters
from autotune.training.process.loading import LoadedTask, load_task
from tests.tasks.trials import train

REFERENCE = "autotune.tasks.vowels:Vowels"
MASKED: dict[str, Scalar] = {"frequency_mask": 0.2, "time_mask": 0.2}
SMALL: dict[str, Scalar] = {"lr": 1e-2, "batch_size": 16, "width": 8, "depth": 1, "torch_threads": 1, **MASKED}


class Few(Vowels):
    """A man, a woman and a child to learn from, and another man."""

    def train_data(self, params: Parameters) -> Utterances:
        del params
        return Utterances(range(3))

    def validation_data(self, params: Parameters) -> Utterances:
        del params
        return Utterances(range(60, 61))


def few() -> LoadedTask:
    return LoadedTask(kind="class", target=Few(), reference=REFERENCE)


def test_nobody_speaks_in_both_parts_of_the_data() -> None:
    task, params = Vowels(), Parameters({})
    assert not set(task.train_data(params).speakers) & set(task.validation_data(params).speakers)


def test_utterance_is_always_the_same_and_no_two_are() -> None:
    one, another = Utterances(range(3)), Utterances(range(2, 4))
    torch.manual_seed(1)
    assert is_same(one[2 * len(WORDS)], another[0])
    assert not is_same(one[0], one[len(WORDS)])
    assert len({len(one[index][0]) for index in range(20)}) > 5


def test_features_are_frames_of_bands_with_mean_0_and_deviation_1() -> None:
    features, word = Utterances(range(1))[7]
    assert (features.dtype, features.shape[1], word) == (torch.float32, 40, 7)
    assert abs(float(features.mean())) < 1e-5
    assert float(features.std()) == pytest.approx(1)


def test_noise_through_a_vocal_tract_is_loudest_at_its_formants() -> None:
    formants = torch.tensor([500.0, 1500.0, 2500.0])
    noise = torch.randn(80_000, generator=torch.Generator().manual_seed(0))
    sound = resonate(noise, formants.expand(len(noise), 3), tilt=0.0)
    spectrum = torch.stft(sound, 256, window=torch.hann_window(256), return_complex=True).abs().square().mean(dim=1)
    for formant in (500, 1_500, 2_500):
        first = formant * 128 // 4_000 - 8
        near = slice(first, first + 17)  # 250 Hz to either side
        assert abs(int(spectrum[near].argmax()) - 8) <= 1


@pytest.mark.parametrize("network", ["conv", "gru"])
def test_longer_neighbour_in_the_batch_changes_no_utterance_s_scores(network: str) -> None:
    task, data = Vowels(), Utterances(range(2))
    shortest, longest = (choose(range(60), key=lambda index: len(data[index][0])) for choose in (min, max))
    model = task.model(Parameters({"width": 8, "depth": 3, "network": network, **MASKED})).eval()
    together, alone = (
        task.forward(model, task.collate([data[index] for index in indices]))[0]
        for indices in ([shortest, longest], [shortest])
    )
    torch.testing.assert_close(together[0], alone[0])


def test_masks_hide_a_run_of_bands_and_one_of_frames_in_training_alone() -> None:
    model = Vowels().model(Parameters({"frequency_mask": 0.5, "time_mask": 0.25}))
    mask, features = model.get_submodule("mask"), torch.ones(64, 40, 50)
    torch.manual_seed(0)
    hidden = mask(features) == 0
    bands, frames = hidden.all(dim=2), hidden.all(dim=1)
    assert torch.equal(hidden, bands[:, :, None] | frames[:, None, :])
    for places, most in ((bands, 20), (frames, 12.5)):
        runs = (places.int().diff(dim=1) == 1).sum(dim=1) + places[:, 0]
        assert set(runs.tolist()) == {0, 1} or set(runs.tolist()) == {1}
        assert most / 2 < int(places.sum(dim=1).max()) <= most + 1
    assert not (mask.eval()(features) == 0).any()


@pytest.mark.parametrize(
    ("knobs", "rel"),
    [
        ({"cache": "memory"}, 0),
        ({"num_workers": 2, "persistent_workers": True}, 0),
        ({"validation_batch_size": 7}, 1e-5),
        ({"optimizer_impl": "fused"}, 1e-4),
        ({"precision": "bf16"}, 0.05),
    ],
    ids=str,
)
def test_speed_parameters_train_the_same_model(tmp_path: Path, knobs: dict[str, Scalar], rel: float) -> None:
    *_, plain = train(few(), tmp_path / "plain", epochs=2, **SMALL)
    *_, other = train(few(), tmp_path / "other", epochs=2, **SMALL, **knobs)
    assert other.metrics["train_loss"] == pytest.approx(plain.metrics["train_loss"], rel=rel, abs=0)
    assert other.metrics["val_loss"] == pytest.approx(plain.metrics["val_loss"], rel=rel, abs=0)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["conv", "gru"])
def test_words_are_told_apart_better_than_by_chance(tmp_path: Path, network: str) -> None:
    parameters = SMALL | {"network": network, "width": 32, "cache": "memory", "frequency_mask": 0.0, "time_mask": 0.0}
    *_, last = train(load_task(REFERENCE), tmp_path, epochs=2, **parameters)
    assert last.metrics["val_accuracy"] > 3 / len(WORDS)
