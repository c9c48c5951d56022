"""How silent a trial may be that goes on from its checkpoint; session, ledger, search and records are real."""

from pathlib import Path

import pytest

from autotune.coordinator.deadlines import MOST_SILENCE_SECONDS
from autotune.events import Progress
from tests.coordinator.simulated import Acknowledged, PassingClock, SimulatedCoordinator, SimulatedTrial, make_study

PROGRESS = Progress(epoch=2, fraction=0.1, samples_per_second=100.0, data_wait_share=0.1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> PassingClock:
    clock = PassingClock()
    monkeypatch.setattr("autotune.coordinator.session.time", clock)
    return clock


@pytest.fixture
def resumed(tmp_path: Path, clock: PassingClock) -> tuple[SimulatedCoordinator, SimulatedTrial]:
    """A start of the study with its first trial, which trained an epoch before the last start was killed."""
    del clock  # both starts have it
    make_study(tmp_path)
    told, checkpoints = Acknowledged(), dict[int, int]()
    first = SimulatedCoordinator(tmp_path, acknowledged=told, checkpoints=checkpoints)
    first.start()
    first.hear(first.launcher.trials[0], first.launcher.trials[0].train())
    first.kill()
    second = SimulatedCoordinator(tmp_path, acknowledged=told, checkpoints=checkpoints)
    second.start()
    (trial,) = (trial for trial in second.launcher.trials if trial.number == 0)
    second.hear(trial, [*trial.begin(), PROGRESS])
    return second, trial


def is_ended(resumed: tuple[SimulatedCoordinator, SimulatedTrial], clock: PassingClock, *, after: float) -> bool:
    """Whether the trial is killed when it has said nothing for so long."""
    coordinator, trial = resumed
    clock.pass_seconds(after)
    for _ in range(2):  # it is killed in the first round, and gone in the second
        coordinator.hear(None, [])
    return trial.is_gone


def test_reports_of_a_checkpoint_say_nothing_of_how_silent_the_training_is(
    resumed: tuple[SimulatedCoordinator, SimulatedTrial], clock: PassingClock
) -> None:
    """A trial that was resumed was ended by its first evaluation or compilation of more than five minutes."""
    assert not is_ended(resumed, clock, after=MOST_SILENCE_SECONDS - 60.0)
    assert is_ended(resumed, clock, after=120.0)
    resumed[0].kill()


def test_trial_that_was_resumed_has_shown_every_silence_with_its_own_first_report(
    resumed: tuple[SimulatedCoordinator, SimulatedTrial], clock: PassingClock
) -> None:
    coordinator, trial = resumed
    coordinator.hear(trial, trial.train())
    assert is_ended(resumed, clock, after=MOST_SILENCE_SECONDS / 2)
    coordinator.kill()
