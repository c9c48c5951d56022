import time

import pytest
import torch

from autotune.training.reporting.phases import Phases

CPU = torch.device("cpu")


def test_marks_split_the_whole_block() -> None:
    phases = Phases(CPU)
    phases.start()
    for phase in ("data_wait", "compute", "optimizer", "data_wait"):
        time.sleep(0.002)
        phases.mark(phase)
    split = phases.stop()
    assert split.keys() == {"data_wait", "compute", "optimizer"}
    assert split["data_wait"] >= 0.004
    assert sum(split.values()) == pytest.approx(phases.seconds, abs=0.002)


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
