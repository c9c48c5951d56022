import os
import signal

import pytest

from autotune.coordinator.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_for_a_clean_stop_and_second_for_one_at_once(number: signal.Signals) -> None:
    woken: list[int] = []
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: woken.append(1))
        os.kill(os.getpid(), number)
        assert (interrupts.should_stop, interrupts.should_stop_at_once) == (True, False)
        os.kill(os.getpid(), number)
        assert interrupts.should_stop_at_once
    assert woken == [1, 1]


def test_signal_during_set_up_ends_it_at_once() -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_signal_after_the_last_trial_ends_the_waiting_for_mlflow() -> None:
    woken: list[int] = []
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: woken.append(1))
        with pytest.raises(KeyboardInterrupt), interrupts.raising():
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.should_stop_at_once
        os.kill(os.getpid(), signal.SIGTERM)  # what is closed afterwards is not cut in two
    assert woken == [1]


def test_nothing_is_waited_for_after_the_signal_that_ends_everything_at_once() -> None:
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.raising():
            pytest.fail("it was entered")


def test_first_signal_while_something_is_shown_is_counted_and_the_second_ends_it() -> None:
    with Interrupts() as interrupts:
        interrupts.count_one()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.should_stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
