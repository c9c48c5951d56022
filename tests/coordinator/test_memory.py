import random

import pytest

from autotune.coordinator.memory import MemoryModel, Room, Shape

GIB = 2**30
SHAPE: Shape = (("optimizer", "adam"), ("width", 64))
ROOM = Room(80 * GIB)


def reason(model: MemoryModel, batch_size: int, *, shape: Shape = SHAPE, room: Room = ROOM) -> str | None:
    return model.reason_not_to_launch(shape=shape, batch_size=batch_size, room=room)


def measured(*points: tuple[int, float]) -> MemoryModel:
    """Trials 1, 2, ... with these batch sizes and peaks in GiB."""
    model = MemoryModel()
    for number, (batch_size, peak) in enumerate(points, start=1):
        model.add_peak(number, shape=SHAPE, batch_size=batch_size, peak_bytes=int(peak * GIB))
    return model


@pytest.mark.parametrize("points", [(), ((64, 70.0),), ((64, 70.0), (64, 71.0))])
def test_nothing_is_predicted_from_one_batch_size(points: tuple[tuple[int, float], ...]) -> None:
    assert reason(measured(*points), 4096) is None


def test_a_batch_beyond_the_line_is_predicted_not_to_fit() -> None:
    model = measured((64, 11.0), (128, 21.0))
    assert reason(model, 496) is None
    assert reason(model, 576) == "predicted not to fit: about 91.0 GiB of 80.0 GiB, from trials 1 and 2"


@pytest.mark.parametrize("seed", range(5))
def test_largest_batch_is_predicted_within_a_twentieth_from_noisy_peaks(seed: int) -> None:
    draw = random.Random(seed)
    batches = [16, 32, 64, 128, 256]
    model = measured(*((batch, (2 + batch / 8) * draw.uniform(0.99, 1.01)) for batch in batches))
    largest = max(batch for batch in range(1, 2000) if reason(model, batch) is None)
    assert largest == pytest.approx((80 - 2) * 8, rel=0.05)


def test_peaks_that_fall_with_the_batch_predict_no_fall() -> None:
    assert reason(measured((64, 5.0), (128, 4.0)), 10**9) is None


def test_what_is_at_least_as_large_as_a_trial_that_ran_out_is_not_launched() -> None:
    model = MemoryModel()
    model.add_loss(7, shape=SHAPE, batch_size=256)
    model.add_loss(9, shape=SHAPE, batch_size=512)
    assert reason(model, 255) is None
    assert reason(model, 256) == "predicted not to fit: trial 7 ran out of memory with batch_size 256"
    assert reason(model, 1024) == "predicted not to fit: trial 7 ran out of memory with batch_size 256"


def test_a_loss_counts_as_the_whole_device_at_least() -> None:
    model = measured((64, 11.0))
    model.add_loss(2, shape=SHAPE, batch_size=320)
    crowded = Room(80 * GIB, held_bytes=50 * GIB)
    assert reason(model, 310) is None
    assert reason(model, 130, room=crowded) is None
    assert reason(model, 140, room=crowded) == (
        "predicted not to fit: about 31.5 GiB of 80.0 GiB less 50.0 GiB that other processes hold, from trials 1 and 2"
    )


def test_a_loss_that_a_larger_trial_belies_says_nothing() -> None:
    model = measured((512, 40.0))
    model.add_loss(2, shape=SHAPE, batch_size=256)
    assert reason(model, 300) is None


def test_another_shape_says_nothing() -> None:
    model = measured((64, 60.0), (128, 79.0))
    model.add_loss(3, shape=SHAPE, batch_size=256)
    assert reason(model, 512, shape=(("optimizer", "sgd"), ("width", 64))) is None


def test_what_other_processes_hold_is_not_there_and_is_named() -> None:
    model = measured((64, 11.0), (128, 21.0))
    crowded = Room(80 * GIB, held_bytes=50 * GIB)
    assert reason(model, 256) is None
    assert reason(model, 256, room=crowded) == (
        "predicted not to fit: about 41.0 GiB of 80.0 GiB less 50.0 GiB that other processes hold, from trials 1 and 2"
    )


def test_races_give_points_of_the_line_and_are_named() -> None:
    model = MemoryModel()
    model.add_raced_peak(shape=SHAPE, batch_size=64, peak_bytes=11 * GIB)
    assert reason(model, 576) is None
    model.add_raced_peak(shape=SHAPE, batch_size=128, peak_bytes=21 * GIB)
    assert reason(model, 496) is None
    assert reason(model, 576) == (
        "predicted not to fit: about 91.0 GiB of 80.0 GiB, from races with batch_size 64 and 128"
    )


def test_a_trial_and_a_race_make_a_line_together() -> None:
    model = measured((64, 11.0))
    model.add_raced_peak(shape=SHAPE, batch_size=128, peak_bytes=21 * GIB)
    assert reason(model, 576) == (
        "predicted not to fit: about 91.0 GiB of 80.0 GiB, from trial 1 and race with batch_size 128"
    )


def test_a_race_does_not_belie_a_trial_that_ran_out() -> None:
    """Two steps of training counted for more than whole trials: each further one of that size was launched."""
    model = MemoryModel()
    model.add_raced_peak(shape=SHAPE, batch_size=512, peak_bytes=40 * GIB)
    model.add_loss(2, shape=SHAPE, batch_size=512)
    assert reason(model, 511) is None
    assert reason(model, 512) == "predicted not to fit: trial 2 ran out of memory with batch_size 512"


def test_a_race_that_ran_out_is_belied_by_a_larger_one() -> None:
    model = MemoryModel()
    model.add_raced_loss(shape=SHAPE, batch_size=256)
    assert reason(model, 300) is not None
    model.add_raced_peak(shape=SHAPE, batch_size=512, peak_bytes=40 * GIB)
    assert reason(model, 300) is None
