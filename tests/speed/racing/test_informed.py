"""What an informed user sets without measuring, and how a race may well begin with it."""

from autotune.events import Scalar
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.racing.informed import informed_guess, informed_setting

VALUES: dict[str, tuple[Scalar, ...]] = {
    "cudnn_benchmark": (False, True),
    "precision": ("fp32", "bf16"),
    "num_workers": (0, 2, 4),
    "persistent_workers": (False, True),
}


def entries(*names: str) -> tuple[Entry, ...]:
    return tuple(Entry(KNOBS[name], VALUES[name]) for name in names)


def test_informed_setting_has_the_guides_one_liners_as_far_as_they_are_raced() -> None:
    setting = informed_setting({"num_workers": 0}, entries=entries("precision", "num_workers"), num_cores=4)
    assert setting == {"precision": "bf16", "num_workers": 4}


def test_workers_of_the_informed_setting_stay_from_one_epoch_to_the_next() -> None:
    setting = informed_setting({}, entries=entries("num_workers", "persistent_workers"), num_cores=2)
    assert setting == {"num_workers": 2, "persistent_workers": True}


def test_guess_does_without_what_starts_slowly() -> None:
    raced = entries(*VALUES)
    setting = informed_setting({}, entries=raced, num_cores=4)
    guess = informed_guess({}, entries=raced, num_cores=4)
    assert guess == {"precision": "bf16", "num_workers": 4, "persistent_workers": True}
    assert setting == {**guess, "cudnn_benchmark": True}


def test_guess_without_workers_has_none_that_stay() -> None:
    assert informed_guess({}, entries=entries("precision", "persistent_workers"), num_cores=4) == {"precision": "bf16"}
