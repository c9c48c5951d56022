import time

import pytest
import torch

from autotune.training.reporting.phases import Phases

CPU = torch.device("cpu")


@pytest.mark.usefixtures("own_time")
def test_marks_split_the_whole_block() -> None:
    phases = Phases(CPU)
    phases.start()
    for phase in ("data_wait", "compute", "optimizer", "data_wait"):
        time.sleep(0.002)
        phases.mark(phase)
    split = phases.stop()
    assert split.keys() == {"data_wait", "compute", "optimizer"}
    assert split["data_wait"] == pytest.approx(0.004, abs=1e-4)
    assert sum(split.values()) == pytest.approx(phases.seconds, abs=1e-4)


@pytest.mark.usefixtures("own_time")
def test_pause_belongs_to_no_phase() -> None:
    phases = Phases(CPU)
    phases.start()
    phases.mark("compute")
    phases.pause()
    time.sleep(0.05)
    phases.mark("data_wait")
    phases.resume()
    phases.mark("compute")
    split = phases.stop()
    assert "data_wait" not in split
    assert phases.seconds < 0.05


def test_nothing_is_measured_outside_of_a_block() -> None:
    phases = Phases(CPU)
    phases.mark("compute")
    phases.resume()
    assert phases.stop() == {}
    assert phases.seconds == 0.0


def test_seconds_of_a_block_stay_until_the_next() -> None:
    phases = Phases(CPU)
    phases.start()
    time.sleep(0.002)
    phases.stop()
    seconds = phases.seconds
    phases.pause()
    assert phases.seconds == seconds >= 0.002
    phases.start()
    assert phases.stop() == {}


class LazyDevice:
    """Does nothing of what is launched until somebody waits for it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.num_launched = self.num_done = 0
        patch.setattr(torch.cuda, "Event", lambda **_: LazyEvent(self))
        patch.setattr(torch.cuda, "current_stream", lambda _: None)
        patch.setattr(torch.cuda, "synchronize", lambda _: self.finish(self.num_launched))

    @property
    def num_ahead(self) -> int:
        return self.num_launched - self.num_done

    def finish(self, number: int) -> None:
        self.num_done = max(self.num_done, number)


class LazyEvent:
    def __init__(self, device: LazyDevice) -> None:
        self._device = device
        self.number = 0

    def record(self, stream: object) -> None:
        del stream
        self.number = self._device.num_launched

    def synchronize(self) -> None:
        self._device.finish(self.number)

    def elapsed_time(self, later: "LazyEvent") -> float:
        return float(later.number - self.number)


def test_host_is_no_more_than_some_steps_ahead_of_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of recorded steps, of which a host launches hundreds in its time, took many times as long."""
    device = LazyDevice(monkeypatch)
    phases = Phases(torch.device("cuda"))
    phases.start()
    ahead = []
    for _ in range(50):
        device.num_launched += 1
        phases.mark("compute")
        phases.end_step()
        ahead.append(device.num_ahead)
    assert max(ahead) == 4
    assert phases.stop() == {"compute": pytest.approx(0.05)}


def test_steps_outside_of_a_block_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    device = LazyDevice(monkeypatch)
    phases = Phases(torch.device("cuda"))
    for _ in range(50):
        device.num_launched += 1
        phases.end_step()
    assert device.num_ahead == 50


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_block_of_replayed_steps_takes_little_longer_than_its_time() -> None:
    device = torch.device("cuda")
    phases, graph = Phases(device), torch.cuda.CUDAGraph()
    matrix = torch.randn(4096, 4096, device=device)
    _ = matrix @ matrix  # the first one loads the library
    with torch.cuda.graph(graph):
        for _ in range(4):
            _ = matrix @ matrix
    num_steps = 0
    phases.start()
    while phases.seconds < 0.1:
        graph.replay()
        phases.mark("compute")
        phases.end_step()
        num_steps += 1
    phases.stop()
    assert phases.seconds < 0.1 + 6 * phases.seconds / num_steps


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_phases_are_what_passed_on_the_device() -> None:
    device = torch.device("cuda")
    phases = Phases(device)
    matrix = torch.randn(2048, 2048, device=device)
    _ = matrix @ matrix  # the first one loads the library
    phases.start()
    for _ in range(20):
        phases.mark("data_wait")
        for _ in range(10):
            _ = matrix @ matrix
        phases.mark("compute")
    split = phases.stop()
    # The host only launches, and is long done when the device is.
    assert split["compute"] > 0.8 * phases.seconds
    assert split["data_wait"] < 0.2 * phases.seconds
