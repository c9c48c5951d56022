import pytest

from autotune.speed.measuring.arena import ContestantLostError, Loss
from autotune.speed.racing.batch import BatchLimit, find_largest_batch, try_batches
from tests.speed.simulated import Cost, SimulatedContestant, SimulatedMachine

GIB = 2**30


class Device:
    """A device with so much memory, on which each sample takes so much."""

    def __init__(self, *, largest: int, kind: Loss = "out of memory", num_samples: int = 10**9) -> None:
        self.largest = largest
        self.num_samples = num_samples
        self.kind: Loss = kind
        self.tried: list[int] = []
        self.contestants: list[SimulatedContestant] = []

    def enter(self, batch_size: int) -> SimulatedContestant:
        self.tried.append(batch_size)
        if batch_size > self.largest:
            raise ContestantLostError(self.kind, "CUDA out of memory")
        cost = Cost(compute_seconds=0.01, peak_memory_bytes=GIB + batch_size * GIB // 100)
        contestant = SimulatedContestant(
            {},
            cost,
            SimulatedMachine(),
            batch_size=min(batch_size, self.num_samples),
            steps_per_epoch=-(-self.num_samples // batch_size),
        )
        self.contestants.append(contestant)
        return contestant

    def search(self, *, start: int = 64, limit: int = 100_000, memory_bytes: int | None = None) -> BatchLimit:
        return find_largest_batch(self.enter, start=start, limit=limit, memory_bytes=memory_bytes)


@pytest.mark.parametrize("largest", [64, 100, 700, 5000])
def test_largest_batch_is_found_within_an_eighth(largest: int) -> None:
    device = Device(largest=largest)
    found = device.search().largest
    assert found is not None
    assert largest * 7 / 8 <= found <= largest
    assert all(contestant.is_retired for contestant in device.contestants)


@pytest.mark.parametrize("largest", [1, 10, 63, 100])
def test_largest_batch_is_found_below_a_first_one_that_runs_out(largest: int) -> None:
    device = Device(largest=largest)
    found = device.search(start=512).largest
    assert found is not None
    assert largest * 7 / 8 <= found <= largest
    assert device.tried[:2] == [512, 256]


def test_no_batch_fits_where_a_thousandth_of_the_first_does_not() -> None:
    device = Device(largest=0)
    assert device.search(start=4).largest is None
    assert device.tried == [4, 2, 1]
    device = Device(largest=1)
    assert device.search(start=100_000).largest is None
    assert (len(device.tried), device.tried[-1]) == (11, 97)


def test_largest_batch_is_no_larger_than_the_data() -> None:
    found = Device(largest=10**9).search(limit=1000)
    assert (found.largest, found.is_bounded_by_data) == (1000, True)


def test_data_of_which_nobody_knows_how_much_there_is_bounds_the_batch() -> None:
    device = Device(largest=10**9, num_samples=640)
    found = device.search(start=64, limit=2**20)
    assert (found.largest, found.is_bounded_by_data) == (640, True)
    assert device.tried == [64, 128, 256, 512, 1024]


def test_batch_that_the_peaks_predict_not_to_fit_is_not_tried() -> None:
    device = Device(largest=10**9)
    found = device.search(memory_bytes=5 * GIB)  # 400 samples
    assert found.largest is not None
    assert 350 <= found.largest <= 400
    assert max(device.tried) <= 400
    assert any("predicted not to fit: about" in attempt.reason for attempt in found.tries)


def test_first_batch_that_is_lost_for_another_reason_than_memory_is_an_error() -> None:
    with pytest.raises(ContestantLostError, match="CUDA out of memory"):
        Device(largest=10, kind="crashed").search()


@pytest.mark.parametrize("kind", ["hung", "crashed", "unsupported"])
def test_batch_that_cannot_be_trained_with_where_a_smaller_one_can_is_too_large(kind: Loss) -> None:
    found = Device(largest=100, kind=kind).search()
    assert found.largest is not None
    assert 88 <= found.largest <= 100
    assert found.bound.endswith(f": {kind}: CUDA out of memory")


def test_bound_of_the_largest_batch_is_told_by_the_smallest_that_did_not_fit() -> None:
    assert Device(largest=100).search().bound == "104: CUDA out of memory"
    assert Device(largest=10**9).search(limit=1000).bound == "the whole training set"


def test_search_of_the_largest_batch_tells_of_each_try() -> None:
    heard: list[int] = []
    found = find_largest_batch(
        Device(largest=100).enter, start=64, limit=1000, tried=lambda t: heard.append(t.batch_size)
    )
    assert heard == [attempt.batch_size for attempt in found.tries]


def test_largest_of_a_list_that_fits_is_the_only_one_that_is_tried() -> None:
    device = Device(largest=4096)
    assert [attempt.reason for attempt in try_batches(device.enter, sizes=(128, 256, 512, 1024))] == [""]
    assert device.tried == [1024]
    assert all(contestant.is_retired for contestant in device.contestants)


@pytest.mark.parametrize("largest", [64, 128, 300, 512, 1000, 2048, 4095])
def test_limit_in_a_list_is_found_by_halves(largest: int) -> None:
    sizes = [2**power for power in range(7, 13)]
    device = Device(largest=largest)
    tries = try_batches(device.enter, sizes=sizes)
    assert len(tries) <= 4
    fitting = {size for size in sizes if size <= largest}
    assert min(attempt.batch_size for attempt in tries if attempt.reason) == min({*sizes} - fitting)
    assert max((attempt.batch_size for attempt in tries if not attempt.reason), default=None) == max(
        fitting, default=None
    )


def test_batch_of_a_list_that_crashes_is_too_large() -> None:
    tries = try_batches(Device(largest=128, kind="crashed").enter, sizes=(128, 256))
    assert [(attempt.batch_size, attempt.reason, attempt.shortage) for attempt in tries] == [
        (256, "crashed: CUDA out of memory", None),
        (128, "", None),
    ]


def test_list_of_batches_is_left_when_the_time_for_it_is_over() -> None:
    device = Device(largest=1)
    assert len(try_batches(device.enter, sizes=(128, 256, 512), may_start=lambda: len(device.tried) < 1)) == 1
